package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// payload is the content of a call or a return, a table of references and a body, also while it
// arrives.
type payload struct {
	references, table, body uint32
	bytes                   []byte
}

// newPayload reads the three numbers that announce a payload. It takes the rest of the record
// for it, or makes room for the fragments.
func (s *session) newPayload(announced []byte, flags byte, rest []byte) (*payload, error) {
	p := &payload{
		references: binary.BigEndian.Uint32(announced),
		table:      binary.BigEndian.Uint32(announced[4:]),
		body:       binary.BigEndian.Uint32(announced[8:]),
	}
	size := uint64(p.table) + uint64(p.body)
	if size > messageLimit || p.references > tableEntries || (p.references == 0) != (p.table == 0) {
		return nil, fmt.Errorf("a payload of %d+%d bytes with %d references", p.table, p.body, p.references)
	}
	if flags&fragmented == 0 {
		p.bytes = rest
		if uint64(len(rest)) != size || size > maxChunk {
			return nil, fmt.Errorf("%d bytes of a payload of %d", len(rest), size)
		}
		return p, nil
	}
	s.assembling += size
	if size == 0 || len(rest) > 0 || s.assembling > budget {
		return nil, fmt.Errorf("a fragmented payload of %d bytes, %d of them with its announcement", size, len(rest))
	}
	p.bytes = make([]byte, 0, size)
	return p, nil
}

func (p *payload) complete() bool { return uint64(len(p.bytes)) == uint64(p.table)+uint64(p.body) }

// add appends a fragment.
func (s *session) add(p *payload, piece []byte) error {
	if len(piece) == 0 || len(piece) > maxChunk || len(piece) > cap(p.bytes)-len(p.bytes) {
		return fmt.Errorf("a fragment of %d bytes", len(piece))
	}
	p.bytes = append(p.bytes, piece...)
	if p.complete() {
		s.assembling -= uint64(len(p.bytes))
	}
	return nil
}

// drop ends the assembly of a payload that was cancelled.
func (s *session) drop(p *payload) { s.assembling -= uint64(p.table) + uint64(p.body) }

// errTable is the error of a payload whose references cannot be read.
var errTable = errors.New("malformed table")

// decode reads the body, and the references that it uses.
func (p *payload) decode(s *session) ([]any, error) {
	table, err := parseTable(p.bytes[:p.table], p.references, s.host)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTable, err)
	}
	return decode(p.bytes[p.table:], table)
}

// readFragment handles a piece of a payload.
func (s *session) readFragment(flags byte, n number, piece []byte) error {
	s.mu.Lock()
	c, in := s.calls[n.slot], s.serving[n.slot]
	if again := s.again[n.slot]; again != nil {
		in = again
	}
	s.mu.Unlock()
	if flags&ofReturn != 0 {
		if c == nil || c.number != n || c.result == nil || c.result.complete() {
			return fmt.Errorf("a fragment of the return of %v", n)
		}
		err := s.add(c.result, piece)
		if err == nil && c.result.complete() {
			s.finish(c)
		}
		return err
	}
	if in == nil || in.number != n || in.args.complete() {
		return fmt.Errorf("a fragment of the call %v", n)
	}
	err := s.add(in.args, piece)
	if err == nil && in.args.complete() {
		in.arrived()
	}
	return err
}
