package main

import (
	"context"
	"errors"
	"time"

	"gormi/callback"
	"gormi/registry"
	"gormi/rmi"
)

// server publishes a market's quotes.
type server struct {
	node   *rmi.Node
	topic  *callback.Topic[Quote]
	market *market
	rate   float64
}

// newServer opens a market and binds its quotes to their name. A server that was killed leaves the
// name bound for a while, so newServer replaces what is bound. run must follow.
func (o *options) newServer(ctx context.Context) (*server, error) {
	node, err := rmi.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{node: node, market: newMarket(o.seed, time.Now()), rate: o.rate}
	if err := s.open(ctx, name(o.registry)); err != nil {
		return nil, errors.Join(err, node.Close())
	}
	return s, nil
}

func (s *server) open(ctx context.Context, name string) (err error) {
	s.topic, err = callback.NewTopic(s.node, &callback.TopicOptions[Quote]{
		Key:    func(q Quote) string { return q.Symbol },
		Latest: true, // whoever joins is told the newest quote of each symbol
	})
	if err != nil {
		return err
	}
	for _, q := range s.market.quotes {
		if _, err := s.topic.Publish(q); err != nil {
			return err
		}
	}
	_, err = registry.Rebind[callback.Source[Quote]](ctx, s.node, name, s.topic, nil)
	return err
}

// run publishes until ctx ends. It does not close the topic: that would end the clients' loops,
// which should wait for the next server.
func (s *server) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	published := make(chan error, 1)
	go func() { // ends with ctx
		published <- s.publish(ctx)
		cancel()
	}()
	err := s.node.Run(ctx)
	cancel()
	return errors.Join(err, <-published, s.node.Close())
}

// publish keeps the rate by publishing what is due at each tick of a clock.
func (s *server) publish(ctx context.Context) error {
	clock := time.NewTicker(max(time.Duration(float64(time.Second)/s.rate), 2*time.Millisecond))
	defer clock.Stop()
	due, last := 0.0, time.Now()
	for {
		select {
		case now := <-clock.C:
			due += s.rate * now.Sub(last).Seconds()
			due = min(due, max(s.rate, 1)) // a machine that slept does not make up for it
			last = now
		case <-ctx.Done():
			return nil
		}
		for ; due >= 1; due-- {
			if _, err := s.topic.Publish(s.market.step(last)); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
		}
	}
}
