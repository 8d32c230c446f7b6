package transport

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gormi/rmi/audit"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/internal/mempool"
	"gormi/rmi/wire"
)

// Incoming is a call that arrived.
type Incoming struct {
	Header     wire.CallHeader
	Extensions wire.Extensions
	Session    *Session
	ctx        *callContext
	payload    []byte // the table, then the body
	buf        []byte // memory of small payloads, reused

	deadline  time.Time
	number    wire.CallNum // on its connection, over datagrams
	perCaller bool         // the peer's calls of the object take turns; inbound has the turn
	turn      *Turn        // nil: it takes none, or has not entered
	refused   *fault.Error // why it will not be served, although its payload must be received
	answered  bool
	waited    bool      // before it was served: its deadline may have passed
	reserved  int       // bytes for which there is room in the account, for the reply
	uncounted bool      // the table had no room, or will never come
	asm       *assembly // of a payload that came in fragments; holds its charge
	next      *Incoming // in inbound's queue
}

// Context is the context that the method gets.
func (in *Incoming) Context() context.Context { return in.ctx }

// Metadata came with the call.
func (in *Incoming) Metadata() wire.Metadata { return in.Extensions.Metadata }

// size is what the call takes while it waits: bytes of its payload and of its metadata.
func (in *Incoming) size() int { return in.Header.Payload.Len() + len(in.Extensions.Metadata) }

// Table is the encoded table of references: see wire.ParseTable.
func (in *Incoming) Table() []byte { return in.payload[:in.Header.Payload.Table] }

// join makes a payload that came in fragments one piece of memory.
func (in *Incoming) join() {
	if in.asm != nil && in.payload == nil {
		in.asm.blocks = [][]byte{mempool.Join(in.asm.blocks)}
		in.payload = in.asm.blocks[0]
	}
}

// Body is the encoded arguments. It is valid until Serve returns. If it is Owned, it stays
// valid.
func (in *Incoming) Body() []byte { return in.payload[in.Header.Payload.Table:] }

// Owned says that the memory of Body holds nothing else, and never will.
func (in *Incoming) Owned() bool { return in.asm != nil }

// Reserve makes room for a reply of n bytes, in place of what it made room for before. Its error
// is what the call is to fail with if there is none. Reply does the same. A reply is counted from
// when it is encoded to when the caller has it, or the connection that cannot be resumed has
// taken it.
func (in *Incoming) Reserve(n int) *fault.Error {
	t, a := in.Session.transport, in.Session.account
	l := &t.Limits
	if n <= ackAbove {
		n = 0
	}
	more := int64(n - in.reserved)
	switch share := l.share(l.RetainedTotal); {
	case int64(n) > share: // which no time changes
		return fault.New(fault.KindTooLarge, fault.OutcomeExecuted, "the reply of %d bytes is more than may wait for one principal, or one address, to say that it has it: %d%% of %d (Options.Limits.Share and RetainedTotal)", n, l.Share, l.RetainedTotal)
	case more < 0:
		t.retained.add(more)
		a.retained.add(more)
	case more > 0 && !both(&t.retained, int64(l.RetainedTotal), &a.retained, share, more):
		err := t.crowded(fault.OutcomeExecuted, fmt.Sprintf("the reply of %d bytes has no room beside those that are made, or wait for their callers to say that they have them", n), "RetainedTotal", l.RetainedTotal)
		in.Session.noteOf(audit.QuotaExceeded, err)
		return err
	}
	in.reserved = n
	return nil
}

// Reply answers the call. retained reports that the reply is retained in table and body: then the
// caller must not use them again.
func (in *Incoming) Reply(references int, table, body []byte) (retained bool) {
	return in.answer(0, references, table, body, "")
}

// Fail answers the call with an error.
func (in *Incoming) Fail(err *fault.Error) {
	in.answer(wire.FlagError, 0, nil, codec.AppendError(nil, err), "")
}

// Relay answers the call with the reply of another call, unchanged.
func (in *Incoming) Relay(failed bool, references int, table, body []byte, m wire.Metadata) (retained bool) {
	var flags uint8
	if failed {
		flags = wire.FlagError
	}
	return in.answer(flags, references, table, body, m)
}

// answer answers the call. Metadata that the method set goes before m.
func (in *Incoming) answer(flags uint8, references int, table, body []byte, m wire.Metadata) (retained bool) {
	if in.answered {
		return false
	}
	s := in.Session
	if n := len(table) + len(body); n > s.limits.Message {
		in.Fail(fault.New(fault.KindTooLarge, fault.OutcomeExecuted, "%d bytes of results: the caller accepts %d in one message (its Options.Limits.Message)", n, s.limits.Message))
		return false
	}
	if references > s.limits.References {
		in.Fail(fault.New(fault.KindTooLarge, fault.OutcomeExecuted, "%d references among the results: the caller accepts %d in one message (its Options.Limits.References)", references, s.limits.References))
		return false
	}
	if own := in.ctx.takeReplyMetadata(); own != "" {
		m = own
	}
	extensions := wire.AppendMetadata(nil, m)
	if err := in.Reserve(len(table) + len(body) + len(extensions)); err != nil {
		in.Fail(err)
		return false
	}
	in.answered = true
	r := reply{flags: flags, extensions: extensions, reserved: in.reserved > 0, parts: [2][]byte{table, body},
		payload: wire.Payload{References: uint32(references), Table: uint32(len(table)), Body: uint32(len(body))}}
	if s.resumable {
		in.reserved = 0 // it is the slot's now
	}
	// From here on the peer may use the slot again.
	l, many := s.inbound.answered(in, &r)
	if l == nil {
		return r.retained
	}
	h := wire.ReturnHeader{Slot: in.Header.Slot, Seq: in.Header.Seq, Payload: r.payload}
	if b := r.sending; b != nil {
		l.out.sendBody(b)
		if !r.retained {
			<-b.done
		}
		return r.retained
	}
	// A reply waits for room as long as the connection lives: the keepalive bounds that.
	q, err := l.out.lock(context.Background(), time.Time{})
	if err != nil {
		return r.retained
	}
	q.small = r.append(q.small, &h)
	due := q.appended(many)
	l.out.mu.Unlock()
	l.out.do(due)
	return r.retained
}

var incomings = sync.Pool{New: func() any { return new(Incoming) }}

// recycle gives the memory of a served call back.
func (in *Incoming) recycle() {
	if in.reserved > 0 {
		_ = in.Reserve(0)
	}
	if in.asm != nil {
		in.asm.release()
	}
	buf := in.buf
	if cap(buf) > 64<<10 {
		buf = nil
	}
	*in = Incoming{buf: buf}
	incomings.Put(in)
}

// reply is what a call is answered with.
type reply struct {
	flags      uint8
	payload    wire.Payload
	parts      [2][]byte // table and body
	extensions []byte    // its own
	retained   bool      // the slot retains parts themselves, not a copy
	copied     []byte    // the memory of parts, if it is package mempool's
	sending    *outBody  // of a reply that travels in fragments
	reserved   bool      // it is counted in the account
}

// size is what the reply takes while it is retained, in bytes.
func (r *reply) size() int { return r.payload.Len() + len(r.extensions) }

// append appends the return record of a reply that needs no fragments.
func (r *reply) append(b []byte, h *wire.ReturnHeader) []byte {
	b = wire.AppendReturn(b, h, r.flags, r.extensions)
	return append(append(b, r.parts[0]...), r.parts[1]...)
}

// copyTo copies the parts to b and returns it. The parts are then in that memory.
func (r *reply) copyTo(b []byte) []byte {
	b = append(append(b, r.parts[0]...), r.parts[1]...)
	t := r.payload.Table
	r.parts = [2][]byte{b[:t:t], b[t:]}
	return b
}

// body makes the outBody of a large reply.
func (r *reply) body(h *wire.ReturnHeader) *outBody {
	return &outBody{header: wire.AppendReturn(nil, h, r.flags|wire.FlagFragmented, r.extensions),
		parts: r.parts, slot: h.Slot, seq: h.Seq, ofReturn: true, done: make(chan struct{})}
}

// refused is the reply of a call that was not served.
func refused(why *fault.Error, uncounted bool) reply {
	r := reply{flags: wire.FlagError}
	if uncounted {
		r.flags |= wire.FlagUncounted
	}
	r.parts[1] = codec.AppendError(nil, why)
	r.payload.Body = uint32(len(r.parts[1]))
	return r
}
