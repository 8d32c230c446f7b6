package main

import (
	"context"
	"time"

	"gormi/callback"
	"gormi/refs"
	"gormi/rmi"
)

// gormiBroker is a node with a topic.
type gormiBroker struct {
	node  *rmi.Node
	topic *callback.Topic[[]byte]
	ref   string
}

func newGormiBroker() (broker, error) {
	n := rmi.NewNode(nil)
	b := &gormiBroker{node: n}
	err := func() error {
		if _, err := n.Listen(context.Background(), "127.0.0.1:0"); err != nil {
			return err
		}
		var err error
		if b.topic, err = callback.NewTopic[[]byte](n, nil); err != nil {
			return err
		}
		h, err := rmi.Export[callback.Source[[]byte]](n, b.topic, nil)
		if err != nil {
			return err
		}
		text, err := h.Ref().MarshalText()
		b.ref = string(text)
		return err
	}()
	if err != nil {
		n.Close()
		return nil, err
	}
	return b, nil
}

func (b *gormiBroker) publish(event []byte) error {
	_, err := b.topic.Publish(event)
	return err
}

func (b *gormiBroker) address() string { return b.ref }

func (b *gormiBroker) close() {
	b.topic.Close()
	b.node.Close()
}

func joinGormi(address string, subscriptions []delivered) (func(), error) {
	ref, err := refs.Parse(address)
	if err != nil {
		return nil, err
	}
	n := rmi.NewNode(nil)
	src, err := rmi.Resolve[callback.Source[[]byte]](n, ref, nil)
	if err != nil {
		n.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, f := range subscriptions {
		_, err := callback.Subscribe(context.WithoutCancel(ctx), src, func(_ context.Context, e callback.Event[[]byte]) error {
			f(e.Value)
			return nil
		}, nil)
		if err != nil {
			n.Close()
			return nil, err
		}
	}
	return func() { n.Close() }, nil
}
