// Package callmeta is how metadata gets from a context into a call, and back with the reply.
// Package metadata is what programs see of it.
package callmeta

import (
	"context"
	"sync"

	"gormi/rmi/wire"
)

type (
	// ServedKey is the context key of the Served of a call that is being served.
	ServedKey struct{}
	// SentKey is the context key of a *Sent.
	SentKey struct{}
)

// Served is a call that is being served.
type Served interface {
	// Metadata came with the call.
	Metadata() wire.Metadata
	// SetReplyMetadata gives a pair to the reply.
	SetReplyMetadata(key, value string) error
}

// ServedBy is the call that ctx belongs to, or nil.
func ServedBy(ctx context.Context) Served {
	s, _ := ctx.Value(ServedKey{}).(Served)
	return s
}

// Sent is what a context says of the metadata of the calls that are made with it. It is
// immutable.
type Sent struct {
	pairs   []wire.MetadataPair
	encoded wire.Metadata
	err     error // why no call can be made with it
	alone   bool  // without what the call that is being served passes on
	reply   *Reply
}

// sentOf is what ctx says. It may be nil.
func sentOf(ctx context.Context) *Sent {
	s, _ := ctx.Value(SentKey{}).(*Sent)
	return s
}

// With returns a context whose calls carry p too.
func With(ctx context.Context, p wire.MetadataPair) context.Context {
	var s Sent
	if old := sentOf(ctx); old != nil {
		s = *old
	}
	if s.err == nil {
		s.pairs = set(s.pairs, p)
		s.encoded, s.err = wire.NewMetadata(s.pairs)
	}
	return context.WithValue(ctx, SentKey{}, &s)
}

// set returns a copy of pairs in which p is.
func set(pairs []wire.MetadataPair, p wire.MetadataPair) []wire.MetadataPair {
	all := make([]wire.MetadataPair, 0, len(pairs)+1)
	for _, q := range pairs {
		if q.Key != p.Key {
			all = append(all, q)
		}
	}
	return append(all, p)
}

// Without returns a context whose calls carry nothing.
func Without(ctx context.Context) context.Context {
	return context.WithValue(ctx, SentKey{}, &Sent{alone: true})
}

// WithReply returns a context whose calls store what comes back.
func WithReply(ctx context.Context) (context.Context, *Reply) {
	var s Sent
	if old := sentOf(ctx); old != nil {
		s = *old
	}
	s.reply = &Reply{outer: s.reply}
	return context.WithValue(ctx, SentKey{}, &s), s.reply
}

// Of returns what a call made with ctx carries, and where what comes back goes. That may be
// nil.
func Of(ctx context.Context) (wire.Metadata, *Reply, error) {
	s := sentOf(ctx)
	if s == nil {
		s = new(Sent)
	}
	var in wire.Metadata
	if c := ServedBy(ctx); c != nil && !s.alone {
		in = c.Metadata()
	}
	if s.err != nil || in == "" {
		return s.encoded, s.reply, s.err
	}
	all := s.pairs[:len(s.pairs):len(s.pairs)]
	for p := range in.All() {
		if _, own := s.encoded.Get(p.Key); p.PassOn && !own {
			all = append(all, p)
		}
	}
	if len(all) == len(s.pairs) {
		return s.encoded, s.reply, nil
	}
	m, err := wire.NewMetadata(all)
	return m, s.reply, err
}

// Reply is what came back with the last reply of the calls that were made with a context.
type Reply struct {
	outer *Reply // of the context around it

	mu sync.Mutex // guards the fields below
	md wire.Metadata
}

// Came stores what came back. r may be nil.
func (r *Reply) Came(m wire.Metadata) {
	for ; r != nil; r = r.outer {
		r.mu.Lock()
		r.md = m
		r.mu.Unlock()
	}
}

// Metadata is what came back last.
func (r *Reply) Metadata() wire.Metadata {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.md
}
