package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// incoming is a call by the peer.
type incoming struct {
	s *session
	number
	chain  [16]byte
	object uint64
	method uint32
	depth  byte
	hops   byte
	args   *payload
	pairs  []pair // metadata
	wrong  error  // in its extensions
	back   []pair // metadata of the return

	connection uint32 // on which it last came
	comesAgain bool   // its payload is discarded
	lost       bool   // it never came

	ctx    context.Context // ends when the caller gives up, or at the deadline
	cancel context.CancelFunc
}

// readCall handles the record of a call.
func (s *session) readCall(flags byte, header, extensions, rest []byte) error {
	in := &incoming{
		s: s, number: numberOf(header), chain: [16]byte(header[8:24]),
		object: binary.BigEndian.Uint64(header[24:]),
		method: binary.BigEndian.Uint32(header[40:]),
		depth:  header[56], hops: header[57],
	}
	micros := binary.BigEndian.Uint64(header[32:])
	if micros == 0 || in.slot >= slots {
		return fmt.Errorf("a call in slot %d with %d microseconds", in.slot, micros)
	}
	err := eachExtension(extensions, func(kind byte, value []byte) error {
		switch me := (owner{s.node.id, s.node.started}); {
		case kind == extTarget && len(value) != 24:
			return errors.New("a malformed target")
		case kind == extTarget && (nodeID(value) != me.node || binary.BigEndian.Uint64(value[16:]) != uint64(me.started)):
			in.wrong = &callError{kind: noSuchObject, outcome: notExecuted, text: "this node relays nothing"}
		case kind == extMetadata && in.pairs != nil:
			in.wrong = &callError{kind: protocol, outcome: notExecuted, text: "metadata twice"}
		case kind == extMetadata:
			var err error
			if in.pairs, err = parseMetadata(value); err != nil {
				in.wrong = &callError{kind: protocol, outcome: notExecuted, text: err.Error()}
			}
		case kind != extTarget && kind&skippable == 0:
			in.wrong = &callError{kind: protocol, outcome: notExecuted, text: "an unknown extension"}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if in.args, err = s.newPayload(header[44:], flags, rest); err != nil {
		return err
	}
	day := 24 * time.Hour
	time := time.Duration(min(micros, uint64(day.Microseconds()))) * time.Microsecond
	in.ctx, in.cancel = context.WithTimeout(context.Background(), time)

	s.mu.Lock()
	defer s.mu.Unlock()
	in.connection = s.connectionNow()
	switch running, done := s.serving[in.slot], s.kept[in.slot]; {
	case running == nil && s.taken[in.slot]+1 == in.sequence:
		delete(s.kept, in.slot)
		s.taken[in.slot], s.serving[in.slot] = in.sequence, in
	case s.resumable && s.taken[in.slot] == in.sequence && s.again[in.slot] == nil &&
		(running != nil && running.connection < in.connection || done != nil && done.connection < in.connection):
		in.comesAgain = true
		s.again[in.slot] = in
	default:
		in.cancel()
		return fmt.Errorf("a call %v in a slot that is in use or with a number that is not the next", in.number)
	}
	if in.args.complete() {
		in.arrivedLocked()
	}
	return nil
}

// arrived handles a call whose payload is complete.
func (in *incoming) arrived() {
	in.s.mu.Lock()
	defer in.s.mu.Unlock()
	in.arrivedLocked()
}

func (in *incoming) arrivedLocked() {
	s := in.s
	if !in.comesAgain {
		go in.serve()
		return
	}
	in.cancel()
	delete(s.again, in.slot)
	if running := s.serving[in.slot]; running != nil {
		running.connection = in.connection // it is answered when it ends
	} else if done := s.kept[in.slot]; done != nil {
		done.connection = in.connection
		go s.send(done)
	}
}

// readCancel handles that the peer gives up a call.
func (s *session) readCancel(n number, settled bool) error {
	if n.slot >= slots {
		return nil
	}
	s.mu.Lock()
	in, done := s.serving[n.slot], s.kept[n.slot]
	if again := s.again[n.slot]; again != nil && again.number == n { // the rest of it will not come
		s.drop(again.args)
		delete(s.again, n.slot)
	}
	never := s.resumable && in == nil && s.taken[n.slot]+1 == n.sequence
	if never {
		s.taken[n.slot] = n.sequence
	}
	s.mu.Unlock()
	switch {
	case never:
		lost := &incoming{s: s, number: n, cancel: func() {}, lost: true}
		return lost.answer(nil, &callError{kind: cancelled, outcome: notExecuted, text: "the call was lost, and given up"})
	case in == nil && done != nil && done.number == n:
		return s.send(done)
	case in == nil || in.number != n:
		return nil // it was answered
	}
	if in.args.complete() {
		if !settled {
			in.cancel()
		}
		return nil
	}
	in.cancel()
	s.drop(in.args)
	in.lost = s.resumable // its references were not counted
	return in.answer(nil, &callError{kind: cancelled, outcome: notExecuted, text: "given up before it began"})
}

// serve runs a call whose payload is complete, and answers it.
func (in *incoming) serve() {
	results, err := in.run()
	in.answer(results, err) // an error ends the session: its reader notices
}

func (in *incoming) run() ([]any, error) {
	if in.wrong != nil {
		return nil, in.wrong
	}
	if in.depth > maxDepth {
		return nil, &callError{kind: overloaded, outcome: notExecuted, text: "the calls are nested too deeply"}
	}
	args, err := in.args.decode(in.s)
	switch {
	case errors.Is(err, errTable):
		return nil, &callError{kind: protocol, outcome: notExecuted, text: err.Error()}
	case err != nil:
		return nil, &callError{kind: badArguments, outcome: notExecuted, text: err.Error()}
	}
	o := in.s.node.object(in.object)
	switch {
	case o == nil:
		return nil, &callError{kind: noSuchObject, outcome: notExecuted, text: "no such object"}
	case in.method == methodHash(describe):
		select {
		case o.described <- struct{}{}:
		default:
		}
		return []any{o.description}, nil
	case o.methods[in.method] != nil:
		return o.methods[in.method](args)
	case in.method != methodHash("Call"):
		return nil, &callError{kind: noSuchMethod, outcome: notExecuted, text: "a function has the method Call only"}
	}
	if len(args) == 1 {
		if name, ok := args[0].(string); ok {
			return nil, o.call(in.ctx, in, name)
		}
	}
	return nil, &callError{kind: badArguments, outcome: notExecuted, text: "want one string"}
}

// answer sends the return of a call, which must be short, and frees its slot.
func (in *incoming) answer(results []any, err error) error {
	in.cancel()
	value, flags := slices.Concat([]any{}, results), byte(0)
	if err != nil {
		var e *callError
		if !errors.As(err, &e) {
			e = &callError{kind: application, outcome: executed, text: err.Error()}
		}
		value, flags = e.form(), failed
	}
	var e encoder
	e.value(value)
	table := appendTable(nil, e.table)
	h := binary.BigEndian.AppendUint32(in.header(), uint32(len(e.table)))
	h = binary.BigEndian.AppendUint32(h, uint32(len(table)))
	h = binary.BigEndian.AppendUint32(h, uint32(len(e.body)))
	if in.lost {
		flags |= uncounted
	}
	r := &reply{number: in.number, flags: flags, extensions: metadataExtension(in.back), header: h, payload: append(table, e.body...)}
	in.s.mu.Lock()
	r.connection = in.connection
	delete(in.s.serving, in.slot) // before the peer can use it again
	if in.s.resumable {
		in.s.kept[in.slot] = r
	}
	in.s.mu.Unlock()
	return in.s.send(r)
}

// reply is the answer to a call, which is retained until the peer has it.
type reply struct {
	number
	flags           byte
	extensions      []byte
	header, payload []byte
	connection      uint32 // on which the call last came
	sentOn          uint32 // connection on which it was last sent; guarded by session.writing
}

// send sends a reply, unless it was sent on this connection before.
func (s *session) send(r *reply) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if r.sentOn == s.connection {
		return nil
	}
	r.sentOn = s.connection
	return s.writeNow(recordReturn, r.flags, r.extensions, r.header, r.payload...)
}
