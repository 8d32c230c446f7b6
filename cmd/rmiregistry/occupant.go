package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"time"

	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
)

// probeTimeout bounds each attempt to get an answer from the program that has the port.
const probeTimeout = time.Second

// taken reports whether err says that another program has the address.
func taken(err error) bool {
	if errors.Is(err, syscall.EADDRINUSE) {
		return true
	}
	const windowsAddressInUse = 10048 // WSAEADDRINUSE, which package syscall does not know
	var errno syscall.Errno
	return runtime.GOOS == "windows" && errors.As(err, &errno) && errno == windowsAddressInUse
}

// occupant says which program has an address that is taken, if it can find out. It tries each
// protocol that it knows.
func occupant(ctx context.Context, addr string, config *tls.Config) string {
	const unknown = "another program has it"
	ep, err := refs.ParseEndpoint(addr)
	if err != nil {
		return unknown
	}
	if ip, err := netip.ParseAddr(ep.Host); ep.IsBlank() || err == nil && ip.IsUnspecified() {
		ep.Host = "localhost"
	}
	switch answersGoRMI(ctx, ep, config) {
	case nil:
		return "another GoRMI registry has it"
	case errNoRegistry:
		return "a GoRMI node that is no registry has it"
	}
	// What a client of Java RMI sends first: magic, version 2, stream protocol.
	// The answer begins with ProtocolAck.
	switch got := answer(ctx, ep, "JRMI\x00\x02K"); {
	case bytes.HasPrefix(got, []byte{0x4e}):
		return "a Java RMI registry (the JDK's program of the same name) or another Java program has it, which speaks Java's protocol, not GoRMI's"
	case bytes.HasPrefix(got, []byte{0x15, 3}): // an alert
		return "a program that wants TLS has it"
	}
	if bytes.HasPrefix(answer(ctx, ep, "OPTIONS * HTTP/1.0\r\n\r\n"), []byte("HTTP")) {
		return "a web server (HTTP) has it"
	}
	return unknown + ", which is no registry, neither GoRMI's nor Java's"
}

var errNoRegistry = errors.New("no registry")

// answersGoRMI returns nil if a registry answers, errNoRegistry if a node does that serves none,
// and another error otherwise.
func answersGoRMI(ctx context.Context, ep refs.Endpoint, config *tls.Config) error {
	if config != nil {
		// It only asks who answers, and trusts nothing that is said.
		config = &tls.Config{Certificates: config.Certificates, InsecureSkipVerify: true}
	}
	node := rmi.NewNode(&rmi.Options{TLS: config, Logger: slog.New(slog.DiscardHandler)})
	defer node.Close()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	r, err := registry.At(node, registry.URL{Endpoint: ep}.String())
	if err != nil {
		return err
	}
	_, err = r.List(ctx, "", "", 1)
	if rmi.KindOf(err) == rmi.KindNoSuchObject {
		return errNoRegistry
	}
	return err
}

// answer sends a few bytes and returns the first ones that come back, if any.
func answer(ctx context.Context, ep refs.Endpoint, say string) []byte {
	d := net.Dialer{Timeout: probeTimeout}
	conn, err := d.DialContext(ctx, ep.Network(), ep.Address())
	if err != nil {
		return nil
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(probeTimeout))
	if _, err := io.WriteString(conn, say); err != nil {
		return nil
	}
	var got [4]byte
	n, _ := io.ReadAtLeast(conn, got[:], 1)
	return got[:n]
}
