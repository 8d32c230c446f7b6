package main

import (
	"context"
	"net"

	capnproto "capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/rpc"

	"gormi/rmi/bench/internal/capn"
	"gormi/rmi/bench/internal/data"
)

// capnpSystem is Cap'n Proto's RPC, by go-capnp. Records are built and read
// field by field, as Go values on both sides.
type capnpSystem struct{}

func (capnpSystem) Serve() (string, func(), error) {
	return serveConns("tcp", func(c net.Conn) {
		b := capn.Bench_ServerToClient(capnpServant{})
		conn := rpc.NewConn(rpc.NewStreamTransport(c), &rpc.Options{BootstrapClient: capnproto.Client(b)})
		<-conn.Done()
	})
}

type capnpServant struct{}

func (capnpServant) Null(context.Context, capn.Bench_null) error { return nil }

func (capnpServant) Echo(_ context.Context, call capn.Bench_echo) error {
	in, err := call.Args().R()
	if err != nil {
		return err
	}
	r, err := readRecord(in)
	if err != nil {
		return err
	}
	res, err := call.AllocResults()
	if err != nil {
		return err
	}
	out, err := res.NewR()
	if err != nil {
		return err
	}
	return writeRecord(out, r)
}

func (capnpServant) EchoBytes(_ context.Context, call capn.Bench_echoBytes) error {
	b, err := call.Args().B()
	if err != nil {
		return err
	}
	res, err := call.AllocResults()
	if err != nil {
		return err
	}
	return res.SetB(b)
}

func (capnpServant) CallBack(ctx context.Context, call capn.Bench_callBack) error {
	o := call.Args().O()
	call.Go() // else the next call waits for this one
	f, release := o.Ping(ctx, nil)
	defer release()
	_, err := f.Struct()
	return err
}

func (capnpServant) Drop(context.Context, capn.Bench_drop) error { return nil }

type capnpObject struct{ _ int }

func (*capnpObject) Ping(context.Context, capn.Object_ping) error { return nil }

func readRecord(in capn.Record) (data.Record, error) {
	r := data.Record{ID: in.Id(), Value: in.Value()}
	var err error
	if r.Name, err = in.Name(); err != nil {
		return r, err
	}
	tags, err := in.Tags()
	if err != nil {
		return r, err
	}
	r.Tags = make([]string, tags.Len())
	for i := range r.Tags {
		if r.Tags[i], err = tags.At(i); err != nil {
			return r, err
		}
	}
	return r, nil
}

func writeRecord(out capn.Record, r data.Record) error {
	out.SetId(r.ID)
	out.SetValue(r.Value)
	if err := out.SetName(r.Name); err != nil {
		return err
	}
	tags, err := out.NewTags(int32(len(r.Tags)))
	if err != nil {
		return err
	}
	for i, t := range r.Tags {
		if err := tags.Set(i, t); err != nil {
			return err
		}
	}
	return nil
}

func (capnpSystem) Dial(address string) (Client, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	conn := rpc.NewConn(rpc.NewStreamTransport(c), nil)
	bench := capn.Bench(conn.Bootstrap(context.Background()))
	return &capnpClient{conn: conn, bench: bench, record: data.NewRecord(), object: capn.Object_ServerToClient(new(capnpObject))}, nil
}

type capnpClient struct {
	conn   *rpc.Conn
	bench  capn.Bench
	record data.Record
	object capn.Object
}

func (c *capnpClient) Null() error {
	f, release := c.bench.Null(context.Background(), nil)
	defer release()
	_, err := f.Struct()
	return err
}

func (c *capnpClient) Echo() error {
	f, release := c.bench.Echo(context.Background(), func(p capn.Bench_echo_Params) error {
		r, err := p.NewR()
		if err != nil {
			return err
		}
		return writeRecord(r, c.record)
	})
	defer release()
	res, err := f.Struct()
	if err != nil {
		return err
	}
	out, err := res.R()
	if err != nil {
		return err
	}
	r, err := readRecord(out)
	if err == nil && r.ID != c.record.ID {
		err = errWrong
	}
	return err
}

func (c *capnpClient) EchoBytes(b []byte) error {
	f, release := c.bench.EchoBytes(context.Background(), func(p capn.Bench_echoBytes_Params) error { return p.SetB(b) })
	defer release()
	res, err := f.Struct()
	if err != nil {
		return err
	}
	out, err := res.B()
	if err == nil && len(out) != len(b) {
		err = errWrong
	}
	return err
}

func (c *capnpClient) CallBack() error {
	f, release := c.bench.CallBack(context.Background(), func(p capn.Bench_callBack_Params) error { return p.SetO(c.object.AddRef()) })
	defer release()
	_, err := f.Struct()
	return err
}

func (c *capnpClient) Reference() error {
	o := capn.Object_ServerToClient(new(capnpObject)) // SetO takes it over
	f, release := c.bench.Drop(context.Background(), func(p capn.Bench_drop_Params) error { return p.SetO(o) })
	defer release()
	_, err := f.Struct()
	return err
}

func (c *capnpClient) Close() error {
	c.object.Release()
	c.bench.Release()
	return c.conn.Close()
}
