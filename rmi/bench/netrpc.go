package main

import (
	"net"
	"net/rpc"

	"gormi/rmi/bench/internal/data"
)

// netRPC is the standard library's net/rpc, with its gob codec.
type netRPC struct{}

// RPCBench has the methods.
type RPCBench struct{}

// None is no argument.
type None struct{}

// Null does nothing.
func (RPCBench) Null(_ None, _ *None) error { return nil }

// Echo gives the record back.
func (RPCBench) Echo(r data.Record, out *data.Record) error { *out = r; return nil }

// EchoBytes gives the bytes back.
func (RPCBench) EchoBytes(b []byte, out *[]byte) error { *out = b; return nil }

func (netRPC) Serve() (string, func(), error) {
	s := rpc.NewServer()
	if err := s.Register(RPCBench{}); err != nil {
		return "", nil, err
	}
	return serveConns("tcp", func(c net.Conn) { s.ServeConn(c) })
}

func (netRPC) Dial(address string) (Client, error) {
	c, err := rpc.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return netRPCClient{c, data.NewRecord()}, nil
}

type netRPCClient struct {
	*rpc.Client
	record data.Record
}

func (c netRPCClient) Null() error { return c.Call("RPCBench.Null", None{}, &None{}) }

func (c netRPCClient) Echo() error {
	var r data.Record
	err := c.Call("RPCBench.Echo", c.record, &r)
	if err == nil && r.ID != c.record.ID {
		err = errWrong
	}
	return err
}

func (c netRPCClient) EchoBytes(b []byte) error {
	var out []byte
	err := c.Call("RPCBench.EchoBytes", b, &out)
	if err == nil && len(out) != len(b) {
		err = errWrong
	}
	return err
}
