package main

import (
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const natsSubject = "events"

// natsBroker is an embedded NATS server and a publisher in its process.
type natsBroker struct {
	server *server.Server
	conn   *nats.Conn
}

func newNATSBroker() (broker, error) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		MaxPending: 1 << 30, WriteDeadline: time.Minute, // a slow reader waits instead of being dropped
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return nil, errors.New("the NATS server did not start")
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		s.Shutdown()
		return nil, err
	}
	return &natsBroker{s, conn}, nil
}

func (b *natsBroker) publish(event []byte) error { return b.conn.Publish(natsSubject, event) }
func (b *natsBroker) address() string            { return b.server.ClientURL() }

func (b *natsBroker) close() {
	b.conn.Close()
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

func joinNATS(address string, subscriptions []delivered) (func(), error) {
	conn, err := nats.Connect(address)
	if err != nil {
		return nil, err
	}
	for _, f := range subscriptions {
		s, err := conn.Subscribe(natsSubject, func(m *nats.Msg) { f(m.Data) })
		if err == nil {
			err = s.SetPendingLimits(-1, -1)
		}
		if err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn.Close, conn.Flush()
}
