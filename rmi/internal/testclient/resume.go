package main

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// ackAbove is the size above which this program acknowledges replies.
const ackAbove = 4096

// connectionNow is the number of the connection that is read. Only the reader calls it.
func (s *session) connectionNow() uint32 { return s.reading }

// resume makes another connection for a session that lost its connection because of why.
func (s *session) resume(why error) (net.Conn, error) {
	s.mu.Lock()
	closing := s.closing
	// What is under assembly on either side is discarded: a call without its whole payload has
	// not come.
	for _, c := range s.calls {
		c.result = nil
	}
	for slot, in := range s.serving {
		if !in.args.complete() {
			in.cancel()
			delete(s.serving, slot)
			s.taken[slot]--
		}
	}
	clear(s.again)
	s.assembling = 0
	s.mu.Unlock()
	if closing {
		return nil, why
	}
	connection := s.reading
	for pause := time.Duration(0); pause < time.Second; pause = 2*pause + 10*time.Millisecond {
		time.Sleep(pause)
		connection++
		c, peer, err := s.node.connect(s.at, s.id, purpose{session: s.name, connection: connection})
		if refused := (refusal{}); errors.As(err, &refused) {
			switch refused.kind {
			case peerGone, protocol, denied:
				return nil, fmt.Errorf("the session is over: %w", err)
			}
		}
		if err != nil {
			continue
		}
		if peer.Started != s.peer.Started {
			c.Close()
			return nil, errors.New("the peer was started anew")
		}
		s.reading = connection
		return c, s.sayAgain(c, connection)
	}
	return nil, fmt.Errorf("no other connection could be made: %w", why)
}

// sayAgain sends again, on a new connection, what the peer may not have heard of.
func (s *session) sayAgain(c net.Conn, connection uint32) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.conn, s.connection = c, connection
	s.mu.Lock()
	type due struct {
		*outgoing
		gaveUp bool
	}
	var calls []due
	for _, c := range s.calls {
		calls = append(calls, due{c, c.gaveUp})
	}
	acks := make([]number, 0, len(s.large))
	for _, n := range s.large {
		acks = append(acks, n)
	}
	s.cuts++
	close(s.connected)
	s.connected = make(chan struct{})
	s.mu.Unlock()
	for _, c := range calls {
		err := error(nil)
		if c.gaveUp {
			err = s.writeNow(recordCancel, 0, nil, c.header())
		} else {
			err = c.record(time.Until(c.deadline))
		}
		if err != nil {
			return err
		}
	}
	for _, n := range acks {
		if err := s.writeNow(recordAck, 0, nil, n.header()); err != nil {
			return err
		}
	}
	return nil
}

// readAck drops a reply that the peer has.
func (s *session) readAck(n number) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.kept[n.slot]; r != nil && r.number == n {
		delete(s.kept, n.slot)
	}
}

// cut loses the connection, and returns when there is another.
func (s *session) cut() error {
	s.mu.Lock()
	connected := s.connected
	s.mu.Unlock()
	s.writing.Lock()
	s.conn.Close()
	s.writing.Unlock()
	return s.waitFor(connected)
}

func (s *session) waitFor(connected chan struct{}) error {
	select {
	case <-connected:
		return nil
	case <-s.done:
		return s.err
	}
}
