// Command rmiregistry is GoRMI's registry as a program of its own.
//
//	rmiregistry [-addr HOST:PORT] [flags]
//
// It prints "rmiregistry listening on HOST:PORT" on standard output as soon as it serves. It logs
// on standard error. It runs until SIGINT or SIGTERM. Then it lets calls in flight finish.
// rmiregistry -h lists the flags. The exit status is 0 after a signal, 1 if it could not serve, and
// 2 if its arguments were wrong.
//
// The file of -policy says who may do what, in the form of package registry/policy. SIGHUP has
// the file read again. If it is broken, that is logged with line and column, and the old policy
// stays.
//
//	rmiregistry -check-policy FILE -as PRINCIPAL -do bind -name bank/alice
//
// prints "allow" or "deny" and the rule that decides. The exit status is 0 or 1, and 2 if the file
// is broken. -as @local stands for an anonymous peer of the registry's machine. Without -as, -do
// and -name it checks the file.
//
// Package registry says what a registry does. The JDK has a program of the same name, which speaks
// another protocol on the same port. rmiregistry -version shows which of them this is.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/tlsfiles"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program. It returns its exit status.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage(stdout)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "rmiregistry: %v\n\n", err)
		usage(stderr)
		return 2
	case o.version:
		fmt.Fprintln(stdout, version())
		return 0
	case o.checkPolicy != "":
		return o.check(stdout, stderr)
	case o.initDir != "":
		if err := o.initTLS(stdout); err != nil {
			fmt.Fprintf(stderr, "rmiregistry: -init-tls: %v\n", err)
			return 1
		}
		return 0
	}
	log := o.logger(stderr)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := serve(ctx, o, log, stdout); err != nil {
		if o.logFormat == "json" {
			log.Error("rmiregistry failed", "err", err)
		} else {
			fmt.Fprintf(stderr, "rmiregistry: %v\n", err)
		}
		return 1
	}
	return 0
}

// serve runs the registry until ctx ends.
func serve(ctx context.Context, o *options, log *slog.Logger, stdout io.Writer) error {
	config, err := o.tls(log)
	if err != nil {
		return err
	}
	rules, err := o.loadPolicy()
	if err != nil {
		return err
	}
	node := rmi.NewNode(&rmi.Options{TLS: config, Insecure: o.insecure, Advertise: o.advertise, Logger: log})
	defer node.Close()
	names, err := registry.Serve(ctx, node, &registry.ServeOptions{Listen: o.addr, MaxLease: o.maxLease, Policy: rules})
	switch {
	case rmi.KindOf(err) == rmi.KindDenied:
		return fmt.Errorf("%s can be reached from other machines, and the connections would be in the clear: "+
			"give -tls-cert and -tls-key (and -tls-client-ca to choose who may), listen on 127.0.0.1, or give -insecure", o.addr)
	case taken(err):
		return fmt.Errorf("cannot listen on %s: %s; stop it, or choose another port with -addr (0 for any that is free)", o.addr, occupant(ctx, o.addr, config))
	case err != nil:
		return err
	}
	addr := names.Addr()
	if rules != nil {
		reloading, stop := context.WithCancel(ctx)
		var reloader sync.WaitGroup
		reloader.Go(func() { o.reload(reloading, node, names) })
		defer reloader.Wait()
		defer stop()
	} else if !node.Endpoint().IsLoopback() && !node.Endpoint().IsUnix() && (config == nil || o.tlsCert != "" && o.tlsClientCA == "") {
		log.Warn("peers of other machines may do nothing: they have no certificate that this registry asks for (-tls-client-ca), and there is no -policy for them")
	}
	log.Info("registry serves", "address", addr.String(), "tls", config != nil, "node", node.ID().String())
	at := addr.String()
	if addr.Network() == "udp" {
		at = "udp:" + at // as -addr and addresses say it
	}
	if _, err := fmt.Fprintf(stdout, "rmiregistry listening on %s\n", at); err != nil {
		return fmt.Errorf("cannot print that it is ready: %w", err)
	}
	err = node.Run(ctx)
	log.Info("registry ends")
	return err
}

// tls returns the configuration of the files that the flags name, or else the environment. It is
// nil if neither names any.
func (o *options) tls(log *slog.Logger) (*tls.Config, error) {
	if o.tlsCert == "" {
		return rmi.TLSFromEnv()
	}
	c, err := tlsfiles.Load(tlsfiles.Files{Cert: o.tlsCert, Key: o.tlsKey, CA: o.tlsClientCA, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("-tls-cert, -tls-key and -tls-client-ca: %w", err)
	}
	return c, nil
}

// initTLS makes an authority and certificates, and prints how to use them.
func (o *options) initTLS(stdout io.Writer) error {
	var names []string
	if o.tlsNames != "" {
		names = strings.Split(o.tlsNames, ",")
	}
	if err := tlsfiles.Make(o.initDir, names...); err != nil {
		return err
	}
	dir, err := filepath.Abs(o.initDir)
	if err != nil {
		return err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	const day = 24 * time.Hour
	_, err = fmt.Fprintf(stdout, `%s has an authority, good for %d years, and certificates of it, good for %d days: run this again to renew them.

The registry:

	rmiregistry -addr :%d -tls-cert %s -tls-key %s -tls-client-ca %s

`, dir, tlsfiles.AuthorityLifetime/(365*day), tlsfiles.CertificateLifetime/day, registry.DefaultPort, file("registry.pem"), file("registry-key.pem"), file(tlsfiles.AuthorityFile))
	for _, role := range []string{"server", "client"} {
		if err == nil {
			_, err = fmt.Fprintf(stdout, "A %s that uses rmi.TLSFromEnv:\n\n\texport %s=%s %s=%s %s=%s\n\n", role,
				tlsfiles.EnvCert, file(role+".pem"), tlsfiles.EnvKey, file(role+"-key.pem"), tlsfiles.EnvCA, file(tlsfiles.AuthorityFile))
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(stdout, "Keep %s to yourself: who has it can be anybody.\n", file("ca-key.pem"))
	}
	return err
}
