package main

import (
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"gormi/rmi/bench/internal/pb"
)

// natsSystem is request-reply through an embedded NATS server in the server's
// process: a call passes the broker both ways. NATS carries bytes; records are
// encoded with protobuf. The handlers of a subscription run one after the other.
type natsSystem struct{}

const natsTimeout = 30 * time.Second

func (natsSystem) Serve() (string, func(), error) {
	b, err := newNATSBroker()
	if err != nil {
		return "", nil, err
	}
	n := b.(*natsBroker)
	reply := func(m *nats.Msg, body []byte) { _ = m.Respond(body) }
	for subject, f := range map[string]nats.MsgHandler{
		"null":  func(m *nats.Msg) { reply(m, nil) },
		"bytes": func(m *nats.Msg) { reply(m, m.Data) },
		"echo": func(m *nats.Msg) {
			var r pb.Record
			if proto.Unmarshal(m.Data, &r) == nil {
				body, _ := proto.Marshal(&r)
				reply(m, body)
			}
		},
		"callback": func(m *nats.Msg) {
			go func() { // else the next caller waits for this one's client
				if _, err := n.conn.Request(string(m.Data), nil, natsTimeout); err == nil {
					reply(m, nil)
				}
			}()
		},
	} {
		if _, err := n.conn.Subscribe(subject, f); err != nil {
			n.close()
			return "", nil, err
		}
	}
	if err := n.conn.Flush(); err != nil {
		n.close()
		return "", nil, err
	}
	return n.address(), n.close, nil
}

func (natsSystem) Dial(address string) (Client, error) {
	conn, err := nats.Connect(address)
	if err != nil {
		return nil, err
	}
	c := &natsClient{conn: conn, record: pbRecord(), inbox: nats.NewInbox()}
	if _, err = conn.Subscribe(c.inbox, func(m *nats.Msg) { _ = m.Respond(nil) }); err == nil {
		err = conn.Flush()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

type natsClient struct {
	conn   *nats.Conn
	record *pb.Record
	inbox  string
}

func (c *natsClient) Null() error {
	_, err := c.conn.Request("null", nil, natsTimeout)
	return err
}

func (c *natsClient) Echo() error {
	body, err := proto.Marshal(c.record)
	if err != nil {
		return err
	}
	m, err := c.conn.Request("echo", body, natsTimeout)
	if err != nil {
		return err
	}
	var r pb.Record
	if err = proto.Unmarshal(m.Data, &r); err == nil && r.Id != c.record.Id {
		err = errWrong
	}
	return err
}

func (c *natsClient) EchoBytes(b []byte) error {
	m, err := c.conn.Request("bytes", b, natsTimeout)
	if err == nil && len(m.Data) != len(b) {
		err = errWrong
	}
	return err
}

func (c *natsClient) CallBack() error {
	_, err := c.conn.Request("callback", []byte(c.inbox), natsTimeout)
	return err
}

func (c *natsClient) Close() error { c.conn.Close(); return nil }
