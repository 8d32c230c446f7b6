package memnet

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// capacity is how many bytes one direction of a connection holds before its writer blocks.
// Bytes in flight and unread bytes count together.
const capacity = 256 << 10

// half is one direction of a connection: what one end writes and the other reads. Bytes are in
// flight until they are due. Then they have arrived. Only the reader moves them: it knows when
// the next are due.
type half struct {
	mu      sync.Mutex // guards the fields below
	changed notice

	arrived bytes.Buffer
	flight  []segment     // in the order of their due times
	flying  int           // bytes in flight
	delay   time.Duration // of what is written from now on
	held    bool          // the hosts are partitioned: nothing arrives

	writing     bool // a Write is under way; others wait, so that writes do not mix
	writeClosed bool // the writing end sends no more
	eof         bool // the end of writing has arrived
	readClosed  bool // the reading end takes no more
	broken      bool // the connection was cut

	readDeadline, writeDeadline time.Time // zero means none
}

// segment is what one Write sent at one time. A nil data is the end of writing.
type segment struct {
	data []byte
	due  time.Time
}

// receive moves what is due from flight to arrived. It returns when the next segment is due:
// zero if nothing is on its way, or if time alone does not bring it.
func (h *half) receive(now time.Time) time.Time {
	for len(h.flight) > 0 && !h.held {
		s := h.flight[0]
		if s.due.After(now) {
			return s.due
		}
		h.flight[0] = segment{}
		h.flight = h.flight[1:]
		h.flying -= len(s.data)
		h.arrived.Write(s.data)
		h.eof = h.eof || s.data == nil
	}
	if len(h.flight) == 0 {
		h.flight = nil
	}
	return time.Time{}
}

// send sends a copy of data. If data is nil, it ends the direction.
func (h *half) send(data []byte) {
	now := time.Now()
	if h.receive(now); h.delay == 0 && !h.held && len(h.flight) == 0 {
		h.arrived.Write(data)
		h.eof = h.eof || data == nil
	} else {
		due := now.Add(h.delay)
		if n := len(h.flight); n > 0 && h.flight[n-1].due.After(due) {
			due = h.flight[n-1].due
		}
		h.flight = append(h.flight, segment{bytes.Clone(data), due})
		h.flying += len(data)
	}
	h.changed.broadcast()
}

// read fills b with what has arrived. It waits for the first byte.
func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		now := time.Now()
		due := h.receive(now)
		switch {
		case h.readClosed:
			return 0, net.ErrClosed
		case h.broken:
			return 0, os.NewSyscallError("read", syscall.ECONNRESET)
		case passed(h.readDeadline, now):
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case h.arrived.Len() > 0:
			n, _ := h.arrived.Read(b)
			h.changed.broadcast()
			return n, nil
		case h.eof:
			return 0, io.EOF
		}
		h.wait(earlier(due, h.readDeadline), now)
	}
}

// write sends all of b and waits for room. It returns how much it sent.
func (h *half) write(b []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := false
	defer func() {
		if mine {
			h.writing = false
			h.changed.broadcast()
		}
	}()
	for {
		now := time.Now()
		switch {
		case h.writeClosed:
			return n, net.ErrClosed
		case h.broken:
			return n, os.NewSyscallError("write", syscall.ECONNRESET)
		case h.readClosed && !h.held:
			return n, os.NewSyscallError("write", syscall.EPIPE)
		case passed(h.writeDeadline, now):
			return n, os.ErrDeadlineExceeded
		case len(b) == 0:
			return n, nil
		}
		if !h.writing || mine {
			h.writing, mine = true, true
			if room := capacity - h.arrived.Len() - h.flying; room > 0 {
				part := b[:min(room, len(b))]
				h.send(part)
				n += len(part)
				b = b[len(part):]
				continue
			}
		}
		h.wait(h.writeDeadline, now)
	}
}

// wait returns when the half has changed, or at until, if that is not zero. h.mu is held, but
// not during the wait.
func (h *half) wait(until, now time.Time) {
	changed := h.changed.wait()
	h.mu.Unlock()
	defer h.mu.Lock()
	if until.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(until.Sub(now))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

// closeWrite ends the direction at the writer's side. It reports whether it was the first to do
// so.
func (h *half) closeWrite() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writeClosed {
		return false
	}
	h.writeClosed = true
	if !h.broken {
		h.send(nil)
	}
	h.changed.broadcast()
	return true
}

// closeRead ends the direction at the reader's side. Unread bytes are lost.
func (h *half) closeRead() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readClosed = true
	h.drop()
}

// cut breaks the direction for both ends.
func (h *half) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = true
	h.drop()
}

// drop drops the bytes. h.mu is held.
func (h *half) drop() {
	h.arrived = bytes.Buffer{}
	h.flight, h.flying = nil, 0
	h.changed.broadcast()
}

// hold stops bytes from arriving, or lets them arrive again.
func (h *half) hold(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.receive(time.Now()) // what is due has arrived, even if nobody looked
	h.held = on
	h.changed.broadcast()
}

func (h *half) setDelay(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delay = d
}

func (h *half) setReadDeadline(t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readClosed {
		return net.ErrClosed
	}
	h.readDeadline = t
	h.changed.broadcast()
	return nil
}

// setWriteDeadline fails on a closed connection, but not if only the writing side is closed.
// Hence the argument.
func (h *half) setWriteDeadline(t time.Time, closed bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	h.writeDeadline = t
	h.changed.broadcast()
	return nil
}

func passed(deadline, now time.Time) bool {
	return !deadline.IsZero() && !deadline.After(now)
}

// earlier returns the earlier of two times. Zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// notice is a condition variable that can be waited for together with timers and contexts. Its
// owner's lock guards it.
type notice struct{ ch chan struct{} }

// wait returns a channel that the next broadcast closes.
func (n *notice) wait() <-chan struct{} {
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

func (n *notice) broadcast() {
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}
