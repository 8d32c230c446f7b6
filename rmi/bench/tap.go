package main

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"gormi/rmi"
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

var _ rmi.Network = tapped{}

func (t tapped) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return tap{c.(*net.TCPConn), t.log}, nil
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
	return tap{c.(*net.TCPConn), l.log}, nil
}

// tap is a connection. Callers that write for themselves do it by SyscallConn.
type tap struct {
	*net.TCPConn
	log *spans
}

func (t tap) Read(b []byte) (int, error) {
	defer t.log.add(spanRead, now())
	return t.TCPConn.Read(b)
}

func (t tap) Write(b []byte) (int, error) {
	defer t.log.add(spanWrite, now())
	return t.TCPConn.Write(b)
}

func (t tap) SyscallConn() (syscall.RawConn, error) {
	raw, err := t.TCPConn.SyscallConn()
	return tapRaw{raw, t.log}, err
}

type tapRaw struct {
	syscall.RawConn
	log *spans
}

func (t tapRaw) Read(f func(uintptr) bool) error {
	defer t.log.add(spanRead, now())
	return t.RawConn.Read(f)
}

func (t tapRaw) Write(f func(uintptr) bool) error {
	defer t.log.add(spanWrite, now())
	return t.RawConn.Write(f)
}
