package main

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"gormi/rmi/bench/internal/data"
	"gormi/rmi/bench/internal/pb"
)

// grpcSystem is gRPC-Go. A call from within a call is a stream of its own on
// which the server asks and the client answers: what there is instead.
type grpcSystem struct{}

func (grpcSystem) Serve() (string, func(), error) {
	l, _, err := listen("tcp")
	if err != nil {
		return "", nil, err
	}
	s := grpc.NewServer()
	pb.RegisterBenchServer(s, grpcServant{})
	done := make(chan struct{})
	go func() {
		_ = s.Serve(l)
		close(done)
	}()
	return l.Addr().String(), func() { s.Stop(); <-done }, nil
}

type grpcServant struct{ pb.UnimplementedBenchServer }

func (grpcServant) Null(_ context.Context, n *pb.Nothing) (*pb.Nothing, error)  { return n, nil }
func (grpcServant) Echo(_ context.Context, r *pb.Record) (*pb.Record, error)    { return r, nil }
func (grpcServant) EchoBytes(_ context.Context, b *pb.Bytes) (*pb.Bytes, error) { return b, nil }
func (grpcServant) CallBack(s grpc.BidiStreamingServer[pb.Nothing, pb.Nothing]) error {
	return askBack(s)
}

// askBack is the server's part of a callback by a stream, of gRPC and of drpc.
func askBack(s interface {
	Send(*pb.Nothing) error
	Recv() (*pb.Nothing, error)
}) error {
	if err := s.Send(new(pb.Nothing)); err != nil {
		return err
	}
	_, err := s.Recv()
	return err
}

// answer is the client's part.
func answer(s interface {
	Send(*pb.Nothing) error
	Recv() (*pb.Nothing, error)
	CloseSend() error
}) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	if err := s.Send(new(pb.Nothing)); err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := s.Recv(); err != io.EOF {
		return errWrong
	}
	return nil
}

func (grpcSystem) Dial(address string) (Client, error) {
	c, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return grpcClient{c, pb.NewBenchClient(c), pbRecord()}, nil
}

func pbRecord() *pb.Record {
	r := data.NewRecord()
	return &pb.Record{Id: r.ID, Name: r.Name, Tags: r.Tags, Value: r.Value}
}

type grpcClient struct {
	*grpc.ClientConn
	bench  pb.BenchClient
	record *pb.Record
}

func (c grpcClient) Null() error {
	_, err := c.bench.Null(context.Background(), new(pb.Nothing))
	return err
}

func (c grpcClient) Echo() error {
	r, err := c.bench.Echo(context.Background(), c.record)
	if err == nil && r.Id != c.record.Id {
		err = errWrong
	}
	return err
}

func (c grpcClient) EchoBytes(b []byte) error {
	out, err := c.bench.EchoBytes(context.Background(), &pb.Bytes{Data: b})
	if err == nil && len(out.Data) != len(b) {
		err = errWrong
	}
	return err
}

func (c grpcClient) CallBack() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := c.bench.CallBack(ctx)
	if err != nil {
		return err
	}
	return answer(s)
}
