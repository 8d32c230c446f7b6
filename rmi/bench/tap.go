package main

import (
	"context"
	"gormi/rmi/transport"
	"net"
	"sync"
	"time"
)

// span is something that happened, by the clock of the machine, which both
// processes share: nanoseconds.
type span struct {
	Kind       string
	Begin, End int64
}

const (
	spanRead  = "read"
	spanWrite = "write"
	spanCall  = "call" // of the caller, or of the method
)

// spans is a log of what happens on the connections of a process.
type spans struct {
	mu  sync.Mutex // guards all
	all []span
}

func now() int64 { return time.Now().UnixNano() }

func (s *spans) add(kind string, begin int64) {
	end := now()
	s.mu.Lock()
	s.all = append(s.all, span{kind, begin, end})
	s.mu.Unlock()
}

func (s *spans) take() []span {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

// tapped is the system's network with a clock at each read and write.
type tapped struct{ log *spans }

var _ transport.Network = tapped{}

func (t tapped) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return tap{c, t.log}, nil
}

func (t tapped) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	return tapListener{l, t.log}, err
}

type tapListener struct {
	net.Listener
	log *spans
}

func (l tapListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tap{c, l.log}, nil
}

// tap is a connection. It is no socket to its user, who therefore reads it by
// Read, a call for each message; a caller that writes for itself does it by
// TryWrite, where there is one.
type tap struct {
	net.Conn
	log *spans
}

func (t tap) Read(b []byte) (int, error) {
	defer t.log.add(spanRead, now())
	return t.Conn.Read(b)
}

func (t tap) Write(b []byte) (int, error) {
	defer t.log.add(spanWrite, now())
	return t.Conn.Write(b)
}
