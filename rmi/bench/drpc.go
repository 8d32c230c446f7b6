package main

import (
	"context"
	"net"

	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcserver"

	"gormi/rmi/bench/internal/pb"
)

// drpcSystem is Storj's drpc. A connection carries one call at a time: callers
// wait for each other.
type drpcSystem struct{}

func (drpcSystem) Serve() (string, func(), error) {
	mux := drpcmux.New()
	if err := pb.DRPCRegisterBench(mux, drpcServant{}); err != nil {
		return "", nil, err
	}
	l, _, err := listen("tcp")
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		_ = drpcserver.New(mux).Serve(ctx, l)
		close(done)
	}()
	return l.Addr().String(), func() { cancel(); <-done }, nil
}

type drpcServant struct {
	pb.DRPCBenchUnimplementedServer
}

func (drpcServant) Null(_ context.Context, n *pb.Nothing) (*pb.Nothing, error)  { return n, nil }
func (drpcServant) Echo(_ context.Context, r *pb.Record) (*pb.Record, error)    { return r, nil }
func (drpcServant) EchoBytes(_ context.Context, b *pb.Bytes) (*pb.Bytes, error) { return b, nil }
func (drpcServant) CallBack(s pb.DRPCBench_CallBackStream) error                { return askBack(s) }

func (drpcSystem) Dial(address string) (Client, error) {
	raw, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := drpcconn.New(raw)
	return drpcClient{c, pb.NewDRPCBenchClient(c), pbRecord()}, nil
}

type drpcClient struct {
	*drpcconn.Conn
	bench  pb.DRPCBenchClient
	record *pb.Record
}

func (c drpcClient) Null() error {
	_, err := c.bench.Null(context.Background(), new(pb.Nothing))
	return err
}

func (c drpcClient) Echo() error {
	r, err := c.bench.Echo(context.Background(), c.record)
	if err == nil && r.Id != c.record.Id {
		err = errWrong
	}
	return err
}

func (c drpcClient) EchoBytes(b []byte) error {
	out, err := c.bench.EchoBytes(context.Background(), &pb.Bytes{Data: b})
	if err == nil && len(out.Data) != len(b) {
		err = errWrong
	}
	return err
}

func (c drpcClient) CallBack() error {
	s, err := c.bench.CallBack(context.Background())
	if err != nil {
		return err
	}
	defer s.Close()
	return answer(s)
}
