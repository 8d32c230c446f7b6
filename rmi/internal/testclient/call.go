package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// callTime is how long a call may take.
const callTime = 5 * time.Second

// describe is the method that every object has.
const describe = ""

// request says what to call.
type request struct {
	object uint64
	method string
	args   []any
	target *owner // if the call goes to a relay
	pairs  []pair // metadata
	extra  []byte // more extensions
	unsent bool   // it is lost on the way
}

// outgoing is a call in flight.
type outgoing struct {
	s *session
	number
	chain    [16]byte
	deadline time.Time

	args   []byte                         // the part of its payload that is not sent; guarded by s.writing
	record func(left time.Duration) error // sends the record and, when a call is sent again, all fragments; s.writing is held
	sentOn uint32                         // number of the connection on which it was last sent; guarded by s.writing
	gaveUp bool                           // guarded by s.mu

	result *payload
	pairs  []pair        // metadata of the return
	failed bool          // by an error form
	flags  byte          // of the return
	done   chan struct{} // closed when the return is complete
}

// methodHash is the 32-bit FNV-1a hash of a method's name.
func methodHash(name string) uint32 {
	if name == describe {
		return 0
	}
	h := uint32(0x811c9dc5)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 0x01000193
	}
	return h
}

// call makes a call, and waits for its results.
func (s *session) call(r request) ([]any, error) {
	c, err := s.begin(r)
	if err != nil {
		return nil, err
	}
	if err := c.sendArgs(len(c.args)); err != nil {
		return nil, err
	}
	return c.wait()
}

// begin sends a call's record. sendArgs must still send large arguments.
func (s *session) begin(r request) (*outgoing, error) {
	var e encoder
	e.value(append([]any{}, r.args...))
	table := appendTable(nil, e.table)
	c := &outgoing{s: s, deadline: time.Now().Add(callTime), args: append(table, e.body...), done: make(chan struct{})}
	rand.Read(c.chain[:])
	if len(c.args) > int(s.peer.MessageLimit) || len(e.table) > int(s.peer.TableEntries) {
		return nil, fmt.Errorf("the call is too large: %d bytes, %d references", len(c.args), len(e.table))
	}
	if err := c.takeSlot(); err != nil {
		return nil, err
	}

	h := append(c.header(), c.chain[:]...)
	h = binary.BigEndian.AppendUint64(h, r.object)
	const until = 8 + 16 + 8
	h = binary.BigEndian.AppendUint64(h, uint64(callTime.Microseconds()))
	h = binary.BigEndian.AppendUint32(h, methodHash(r.method))
	h = binary.BigEndian.AppendUint32(h, uint32(len(e.table)))
	h = binary.BigEndian.AppendUint32(h, uint32(len(table)))
	h = binary.BigEndian.AppendUint32(h, uint32(len(e.body)))
	h = append(h, 0, 0) // all calls of this program come from outside, and none was relayed

	extensions := slices.Concat(r.extra, metadataExtension(r.pairs))
	if r.target != nil {
		extensions = append(append(extensions, extTarget, 0, 24), r.target.node[:]...)
		extensions = binary.BigEndian.AppendUint64(extensions, uint64(r.target.started))
	}
	var flags byte
	var rest []byte
	all := c.args
	if len(all) > maxChunk {
		// The peer's budget does not matter: one payload fits, and this program never sends two
		// of them concurrently.
		flags = fragmented
	} else {
		rest, c.args = all, nil
	}
	c.record = func(left time.Duration) error {
		binary.BigEndian.PutUint64(h[until:], uint64(max(left.Microseconds(), 1)))
		again := c.sentOn != 0
		c.sentOn = s.connection
		if err := s.writeNow(recordCall, flags, extensions, h, rest...); err != nil || !again || flags == 0 {
			return err
		}
		c.args = all
		return c.sendArgsNow(len(all))
	}
	if r.unsent {
		return c, nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if c.sentOn != 0 { // a new connection was made meanwhile
		return c, nil
	}
	return c, c.record(callTime)
}

// takeSlot gives the call a slot and the next number of that slot.
func (c *outgoing) takeSlot() error {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.peer.Slots
	for slot := range all - uint32(uint64(all)*3/4) { // the others are for calls made by a method that is being served
		if s.calls[slot] == nil {
			s.sent[slot]++
			c.number = number{slot, s.sent[slot]}
			s.calls[slot] = c
			delete(s.large, slot) // using the slot acknowledges
			return nil
		}
	}
	return errors.New("no slot is free")
}

// sendArgs sends n bytes of the arguments in fragments.
func (c *outgoing) sendArgs(n int) error {
	c.s.writing.Lock()
	defer c.s.writing.Unlock()
	return c.sendArgsNow(min(n, len(c.args)))
}

// sendArgsNow is sendArgs for when s.writing is held.
func (c *outgoing) sendArgsNow(n int) error {
	for n > 0 {
		piece := c.args[:min(n, maxChunk)]
		c.args, n = c.args[len(piece):], n-len(piece)
		if err := c.s.writeNow(recordFragment, 0, nil, c.header(), piece...); err != nil {
			return err
		}
	}
	return nil
}

// cancel gives the call up. It stays in flight until the return comes.
func (c *outgoing) cancel() error {
	c.s.mu.Lock()
	c.gaveUp = true
	c.s.mu.Unlock()
	return c.s.write(recordCancel, 0, nil, c.header())
}

// wait returns the results.
func (c *outgoing) wait() ([]any, error) {
	late := time.After(time.Until(c.deadline))
	for over := false; !over; {
		select {
		case <-late:
			if err := c.cancel(); err != nil {
				return nil, err
			}
		case <-c.done:
			over = true
		case <-c.s.done:
			return nil, errors.Join(errOver, c.s.err)
		}
	}
	list, err := c.result.decode(c.s)
	if err != nil || !c.failed {
		return list, err
	}
	e, err := parseError(list)
	if err != nil {
		return nil, err
	}
	return nil, e
}

// readReturn handles the return of a call.
func (s *session) readReturn(flags byte, header, extensions, rest []byte) error {
	var pairs []pair
	err := eachExtension(extensions, func(kind byte, value []byte) (err error) {
		switch {
		case kind == extMetadata && pairs != nil:
			return errors.New("metadata twice")
		case kind == extMetadata:
			pairs, err = parseMetadata(value)
			return err
		}
		return refuseExtension(kind, value)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	c, lose := s.calls[binary.BigEndian.Uint32(header)], s.lose
	s.lose = false
	s.mu.Unlock()
	if lose {
		return lost{errors.New("the connection was cut before a return")}
	}
	if c == nil || c.number != numberOf(header) || c.result != nil {
		return fmt.Errorf("a return for %v, which is not in flight", numberOf(header))
	}
	p, err := s.newPayload(header[8:], flags, rest)
	if err != nil {
		return err
	}
	c.result, c.pairs, c.failed, c.flags = p, pairs, flags&failed != 0, flags
	if p.complete() {
		s.finish(c)
	}
	return nil
}

// finish frees the slot of a call that has returned.
func (s *session) finish(c *outgoing) {
	s.mu.Lock()
	delete(s.calls, c.slot)
	owes := s.resumable && len(c.result.bytes)+len(metadataExtension(c.pairs)) > ackAbove
	if owes {
		s.large[c.slot] = c.number
	}
	s.mu.Unlock()
	if owes {
		s.write(recordAck, 0, nil, c.header()) // an error ends the session: its reader notices
	}
	close(c.done)
}
