// The command rmiregistry is GoRMI's registry as a program of its own.
//
//	rmiregistry [-addr HOST:PORT] [flags]
//
// It prints "rmiregistry listening on HOST:PORT" on standard output once it
// serves, logs on standard error, and runs until SIGINT or SIGTERM, which it
// survives long enough to let calls in flight finish. rmiregistry -h lists the
// flags. Its exit status is 0 after a signal, 1 if it could not serve, and 2 if it
// was called wrongly.
//
// Package registry tells what a registry does, keeps and forgets. The JDK has a
// program of this name, which speaks another protocol on the same port;
// rmiregistry -version tells which one this is.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"gormi/registry"
	"gormi/rmi"
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
	config, err := o.tls()
	if err != nil {
		return err
	}
	node := rmi.NewNode(&rmi.Options{TLS: config, Insecure: o.insecure, Advertise: o.advertise, Logger: log})
	defer node.Close()
	names, err := registry.Serve(ctx, node, &registry.ServeOptions{Listen: o.addr, MaxLease: o.maxLease})
	switch {
	case rmi.KindOf(err) == rmi.KindDenied:
		return fmt.Errorf("%s can be reached from other machines, and anybody there could bind and look up names, over connections in the clear: "+
			"give -tls-cert and -tls-key (and -tls-client-ca to choose who may), listen on 127.0.0.1, or give -insecure", o.addr)
	case taken(err):
		return fmt.Errorf("cannot listen on %s: %s; stop it, or choose another port with -addr (0 for any that is free)", o.addr, occupant(ctx, o.addr, config))
	case err != nil:
		return err
	}
	addr := names.Addr()
	log.Info("registry serves", "address", addr.String(), "tls", config != nil, "node", node.ID().String())
	at := addr.String()
	if addr.Network() == "udp" {
		at = "udp:" + at // as -addr and addresses say it
	}
	if _, err := fmt.Fprintf(stdout, "rmiregistry listening on %s\n", at); err != nil {
		return fmt.Errorf("cannot tell that it is ready: %w", err)
	}
	err = node.Run(ctx)
	log.Info("registry ends")
	return err
}

// tls reads the certificates that the flags name; nil if they name none.
func (o *options) tls() (*tls.Config, error) {
	if o.tlsCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
	if o.tlsClientCA != "" {
		pem, err := os.ReadFile(o.tlsClientCA)
		if err != nil {
			return nil, fmt.Errorf("-tls-client-ca: %w", err)
		}
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("-tls-client-ca: %s holds no certificate in PEM form", o.tlsClientCA)
		}
	}
	return c, nil
}
