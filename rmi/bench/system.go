package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// System is a way to make calls. A file of this folder has one each.
type System interface {
	// Serve makes this process a server; address is for Dial.
	Serve() (address string, stop func(), err error)
	// Dial returns a client with a connection of its own.
	Dial(address string) (Client, error)
}

// Client makes the calls. They are safe for concurrent use unless the peer is
// sequential. What a system can do beyond a null call, its client says by the
// interfaces below; a system has no row for work that it lacks.
type Client interface {
	Null() error
	io.Closer
}

type (
	recordEchoer interface{ Echo() error } // of data.NewRecord
	bytesEchoer  interface{ EchoBytes(b []byte) error }
	callBacker   interface{ CallBack() error }  // the server calls the client before it answers
	referrer     interface{ Reference() error } // passes a new remote reference, which both sides drop
	exporter     interface{ Export() error }    // and unexports; the server has no part in it
	jdkCaller    interface {
		JDK() map[string]func() error
	} // suite jdk, by name of the work
)

// peer is a system as it is run and reported.
type peer struct {
	name, transport string
	system          System                                               // nil if command is set
	command         func(role string, args ...string) (*exec.Cmd, error) // the processes of a system that is not Go's
	missing         func() string                                        // says why the system cannot run here; may be nil
	sequential      bool                                                 // one call at a time on a connection
	jdk             bool                                                 // is in suite jdk
	only            []string                                             // the works that are measured; nil: all that its client does
}

var peers = []peer{
	{name: "rawtcp", transport: "tcp", system: raw{network: "tcp"}, sequential: true},
	{name: "rawtcp-polled", transport: "tcp", system: raw{network: "tcp", polls: true}, missing: polledMissing, sequential: true, only: []string{"null", "echo100", "echo1k"}},
	{name: "rawunix", transport: "unix", system: raw{network: "unix"}, sequential: true},
	{name: "net/rpc", transport: "tcp", system: netRPC{}},
	{name: "grpc", transport: "tcp", system: grpcSystem{}},
	{name: "drpc", transport: "tcp", system: drpcSystem{}},
	{name: "capnp", transport: "tcp", system: capnpSystem{}},
	{name: "nats", transport: "tcp", system: natsSystem{}},
	{name: "java-rmi", transport: "tcp", command: javaCommand, missing: javaMissing, jdk: true},
	{name: "gormi-reflect", transport: "tcp", system: reflected, jdk: true},
	{name: "gormi-unix", transport: "unix", system: overUnix, only: []string{"null", "echo100"}},
	{name: "gormi", transport: "tcp", system: generated, jdk: true},
}

func peerNamed(name string) (peer, error) {
	for _, p := range peers {
		if p.name == name {
			return p, nil
		}
	}
	return peer{}, fmt.Errorf("no system %q", name)
}

// serveConns serves each connection of a new listener on loopback by serve,
// which returns when its connection is closed.
func serveConns(network string, serve func(net.Conn)) (address string, stop func(), err error) {
	l, clean, err := listen(network)
	if err != nil {
		return "", nil, err
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // guards conns
		conns = make(map[net.Conn]bool)
	)
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				serve(c)
				c.Close()
				mu.Lock()
				delete(conns, c)
				mu.Unlock()
			})
		}
	})
	return l.Addr().String(), func() {
		clean()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	}, nil
}

// listen listens on loopback, or on a unix socket in a folder of its own.
func listen(network string) (net.Listener, func(), error) {
	if network != "unix" {
		l, err := net.Listen(network, "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		return l, func() { l.Close() }, nil
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, nil, err
	}
	l, err := net.Listen(network, filepath.Join(dir, "s"))
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return l, func() { l.Close(); os.RemoveAll(dir) }, nil
}

// errWrong is the error of an answer that is not what was asked for.
var errWrong = errors.New("the answer is wrong")
