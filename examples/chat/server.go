package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"gormi/registry"
	"gormi/rmi"
)

// name is the name that the chat is bound to.
const name = "chat"

// probeTime is how long a registry or a server may take to answer.
const probeTime = 5 * time.Second

// What a background server tells the process that started it, on lines of its standard output.
const (
	ready = "ready"
	stays = "stays" // standard input ended, but others are in the rooms
)

// server is the server role.
type server struct {
	at  registry.URL // the registry's
	out io.Writer

	// background: the server writes nothing to the terminal, which is somebody else's. It ignores
	// Ctrl-C there. It ends when stdin has ended and nobody is in a room.
	background bool
	stdin      io.Reader

	registry bool // this process serves the registry
}

func (s *server) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	node, err := s.listen(ctx)
	if err != nil {
		return err
	}
	defer node.Close()
	h := newHall(node)
	other, err := s.bind(ctx, node, h)
	if err != nil {
		return err
	}
	if other != nil {
		// Two were started at once. The one that serves the registry goes on doing that.
		if !s.registry {
			return fmt.Errorf("a chat server runs already: %s is bound", s.at)
		}
		gone, err := rmi.Gone(other)
		if err != nil {
			return err
		}
		go func() { // ends with ctx
			select {
			case <-gone:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	if s.background {
		fmt.Fprintln(s.out, ready)
		go func() { // ends with standard input, or the process
			io.Copy(io.Discard, s.stdin)
			if other != nil || !h.whenVacant(cancel) {
				fmt.Fprintln(s.out, stays)
			}
		}()
	} else {
		fmt.Fprintf(s.out, "%s is bound, Ctrl-C ends\n", s.at)
	}
	return node.Run(ctx)
}

// listen returns a node that listens. If no registry answers at the expected address, it listens
// there and serves one, else on a free port.
func (s *server) listen(ctx context.Context) (*rmi.Node, error) {
	o := rmi.Options{SessionLease: patienceForLost}
	if s.background {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	node := rmi.NewNode(&o)
	err := s.serveRegistry(ctx, node)
	if err == nil && !node.Endpoint().Listens() {
		_, err = node.Listen(ctx, "127.0.0.1:0")
	}
	if err != nil {
		node.Close()
		return nil, err
	}
	return node, nil
}

// serveRegistry makes node serve a registry if there is none.
func (s *server) serveRegistry(ctx context.Context, node *rmi.Node) error {
	err := s.askRegistry(ctx, node)
	if !errors.Is(err, rmi.KindConnectFailed) || !s.at.Endpoint.IsLoopback() {
		return err
	}
	if _, failure := node.Listen(ctx, s.at.Endpoint.Address()); failure != nil {
		if again := s.askRegistry(ctx, node); again != nil {
			return fmt.Errorf("%w; and none can be served there: %w", err, failure)
		}
		return nil // another process was quicker
	}
	if _, err := registry.Serve(ctx, node, nil); err != nil {
		return err
	}
	s.registry = true
	if !s.background {
		fmt.Fprintf(s.out, "no registry answers at %s: this process serves one\n", registry.URL{Endpoint: s.at.Endpoint})
	}
	return nil
}

// askRegistry fails if no registry answers.
func (s *server) askRegistry(ctx context.Context, node *rmi.Node) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	_, err := registry.LookupRef(ctx, node, s.at.String())
	if errors.Is(err, rmi.KindNotBound) {
		return nil
	}
	return err
}

// bind binds the hall. It replaces a server that died without unbinding its name. If the server
// that is bound lives, it returns that one.
func (s *server) bind(ctx context.Context, node *rmi.Node, h *hall) (other Chat, err error) {
	for {
		_, err := registry.Bind[Chat](ctx, node, s.at.String(), h, nil)
		if !errors.Is(err, rmi.KindAlreadyBound) {
			return nil, err
		}
		if other, err = find(ctx, node, s.at); !dead(err) {
			return other, err
		}
		// It ended just now, and the registry is about to notice.
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// find looks the chat up and checks that its server answers.
func find(ctx context.Context, node *rmi.Node, at registry.URL) (Chat, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	c, err := registry.Lookup[Chat](ctx, node, at.String(), nil)
	if err != nil {
		return nil, err
	}
	if _, err := c.Rooms(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// dead reports whether an error of find means that there is no server.
func dead(err error) bool {
	for _, k := range []rmi.Kind{rmi.KindNotBound, rmi.KindConnectFailed, rmi.KindPeerGone, rmi.KindStaleReference, rmi.KindNoSuchObject} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

// address returns where the chat is, according to the flag -registry.
func address(at string) (registry.URL, error) {
	u, err := registry.ParseURL(at)
	if err != nil {
		return u, err
	}
	if u.Name != "" {
		return u, fmt.Errorf("%q is no address of a registry: want rmi://HOST:PORT", at)
	}
	u.Name = name
	return u, nil
}
