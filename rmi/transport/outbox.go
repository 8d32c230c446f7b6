package transport

import (
	"context"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// outbox is the writing half of a connection. Frames are appended under mu to
// small; whoever finds nobody writing may write one batch itself, if the socket
// takes it without blocking. What is left over, and everything where such a
// write is not possible (TLS, congestion, frames made by the reader), is the
// flusher's, the one goroutine that may block in a write.
//
// Large payloads are cut into fragments, which go one at a time between batches
// of small frames, the payloads in turn. A payload begins only while the sum of
// those begun fits the peer's assembly budget; its header is sent when it begins.
type outbox struct {
	link   *Link
	try    func([]byte) (int, error) // writes what the socket takes at once; nil: not possible here
	bound  int                       // bytes in small at which appenders wait
	budget int                       // the peer's assembly budget
	wake   chan struct{}             // capacity 1: there is work for the flusher

	mu        sync.Mutex
	small     []byte // whole small frames, in order
	spare     []byte // the other buffer, empty
	rest      []byte // the tail of a batch that try did not take; goes before all else
	writing   bool   // somebody owns the socket: a caller in try, or the flusher
	bodies    []*outBody
	waiting   []*outBody    // not begun yet
	assembled int           // bytes of the payloads in bodies, in full
	room      chan struct{} // closed when small was taken; nil if nobody waits
	since     int64         // tick at which the write under way began; 0: none
	err       error         // why nothing is sent any more
	parting   bool          // but for what is in rest and small, of which a close record is the last
	end       time.Time     // until when a peer that goes on reading may take that; see fail

	numbered wire.CallNum // calls sent that have a place, over datagrams: see order.go
	ext      []byte       // scratch of extensions
}

// outBody is a payload that travels in fragments.
type outBody struct {
	out      *outbox
	header   []byte // its call or return record
	parts    [2][]byte
	slot     wire.Slot
	seq      wire.Seq
	ofReturn bool
	size     int
	off      int
	begun    bool
	aborted  bool
	done     chan struct{} // closed when nothing of it will be read any more
}

// over reports whether nothing of b will be read any more.
func (b *outBody) over() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

func (o *outbox) init(l *Link, try func([]byte) (int, error), bound, budget int) {
	o.link, o.try, o.bound, o.budget = l, try, bound, budget
	o.wake = make(chan struct{}, 1)
}

// lock takes mu once there is room for a small frame. The wait ends with ctx
// and, if it is not zero, at until. The error is the session's or the
// context's; nothing is locked then.
func (o *outbox) lock(ctx context.Context, until time.Time) error {
	o.mu.Lock()
	if o.err == nil && len(o.small) >= o.bound {
		if err := o.waitForRoom(ctx, until); err != nil {
			return err
		}
	}
	if o.err != nil {
		defer o.mu.Unlock()
		return o.err
	}
	return nil
}

// waitForRoom is the slow part of lock: mu is held, and still is unless there is an error.
func (o *outbox) waitForRoom(ctx context.Context, until time.Time) error {
	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	for o.err == nil && len(o.small) >= o.bound {
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		case <-o.link.done:
		}
		o.mu.Lock()
	}
	return nil
}

// unlock releases mu after frames were appended, and gets them on their way:
// by a write of its own if that can be done without blocking. In a crowd, where
// more frames are about to come, it leaves them to the flusher, which writes
// many at once.
func (o *outbox) unlock(crowd bool) {
	if o.writing {
		o.mu.Unlock()
		return
	}
	o.writing = true
	if o.try == nil || crowd {
		o.mu.Unlock()
		o.kick()
		return
	}
	batch := o.small
	o.small, o.spare = o.spare[:0], nil
	o.mu.Unlock()

	n, err := o.try(batch)

	o.mu.Lock()
	if err != nil {
		o.writing = false
		o.mu.Unlock()
		o.link.cut(connectionLost(err))
		o.kick() // if the flusher waits for its turn to write a close record
		return
	}
	if n < len(batch) {
		o.rest = batch[n:]
	} else {
		o.recycle(batch)
	}
	if len(o.rest) == 0 && len(o.small) == 0 && len(o.bodies) == 0 {
		o.writing = false
		o.mu.Unlock()
		return
	}
	o.mu.Unlock()
	o.kick()
}

// kick wakes the flusher, to which the caller hands the socket (writing stays true).
func (o *outbox) kick() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// recycle keeps a written batch's memory for the next one, and tells those who
// wait for room. mu is held.
func (o *outbox) recycle(batch []byte) {
	if batch != nil && cap(batch) <= 64<<10 && o.spare == nil {
		o.spare = batch[:0]
	}
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// fromReader appends a frame that the reading goroutine made; it neither waits
// nor writes. A peer that makes us owe it more than the bound loses its connection.
func (o *outbox) fromReader(appendTo func([]byte) []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return nil // what is lost with a connection is made good on the next
	}
	if len(o.small) > 2*o.bound {
		return wire.ProtocolError("W-67: the peer makes answers necessary and does not read them: %d bytes wait", len(o.small))
	}
	o.small = appendTo(o.small)
	if !o.writing {
		o.writing = true
		o.kick()
	}
	return nil
}

// control appends a frame that this side's own calls bound, at most one for
// each slot: a cancel. It neither waits nor writes.
func (o *outbox) control(appendTo func([]byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return
	}
	o.small = appendTo(o.small)
	o.kickLocked()
}

// sendBody queues a payload to travel in fragments. It neither waits nor writes.
func (o *outbox) sendBody(b *outBody) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queueBody(b)
	o.kickLocked()
}

// queueBody is sendBody with mu held. On a connection that is lost, or closed, nothing
// is sent: the payload is let go at once.
func (o *outbox) queueBody(b *outBody) {
	b.out, b.size = o, len(b.parts[0])+len(b.parts[1])
	if o.err != nil {
		close(b.done)
		return
	}
	o.waiting = append(o.waiting, b)
	o.begin()
}

// kickLocked hands the socket to the flusher if nobody has it and there is something to write.
func (o *outbox) kickLocked() {
	if !o.writing && (len(o.small) > 0 || len(o.bodies) > 0) {
		o.writing = true
		o.kick()
	}
}

// begin begins waiting payloads while the budget lasts. mu is held.
func (o *outbox) begin() {
	for len(o.waiting) > 0 && o.assembled+o.waiting[0].size <= o.budget {
		b := o.waiting[0]
		o.waiting = slices.Delete(o.waiting, 0, 1)
		o.assembled += b.size
		b.begun = true
		o.small = append(o.small, b.header...)
		o.bodies = append(o.bodies, b)
	}
}

// abort takes a call's payload back. begun tells whether its header may have
// been sent, told that the peer needs no cancel record from the caller: it is on
// its way, before whatever takes the payload's room in the budget.
func (o *outbox) abort(b *outBody) (begun, told bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if b.off == b.size || o.err != nil {
		return b.begun, o.err != nil
	}
	b.aborted = true
	if !b.begun {
		if i := slices.Index(o.waiting, b); i >= 0 {
			o.waiting = slices.Delete(o.waiting, i, i+1)
		}
		close(b.done)
		return false, true
	}
	o.small = wire.AppendCancel(o.small, b.slot, b.seq)
	if i := slices.Index(o.bodies, b); i >= 0 { // else the flusher has it and will see aborted
		o.bodies = slices.Delete(o.bodies, i, i+1)
		o.finish(b)
	}
	o.kickLocked()
	return true, true
}

// finish gives the budget of a payload back. mu is held.
func (o *outbox) finish(b *outBody) {
	o.assembled -= b.size
	close(b.done)
	o.begin()
}

// fail ends the outbox: nothing is sent any more, and the payloads are let go. If last, a
// close record, is not nil, the flusher first sends the frames that wait, and then last; a
// payload under way is not sent to its end, for nobody takes it in behind a close record.
//
// There are two who end it so. When this side closes the session in good order, the
// connection stays meanwhile, and the peer gets more time with all that it takes, until
// end (Session.Close). After a breach of the protocol the connection ends at once for
// everybody but the flusher, and end is zero: its time is fixed (Link.cutAfter).
func (o *outbox) fail(err error, last []byte, end time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last == nil {
		o.parting = false // what was to be sent had its time
	}
	if o.err != nil {
		return
	}
	o.err, o.end = err, end
	if last != nil {
		o.small, o.parting = append(o.small, last...), true
		if !o.writing {
			o.writing = true
			o.kick()
		}
	}
	for _, b := range append(o.bodies, o.waiting...) {
		close(b.done)
	}
	o.bodies, o.waiting = nil, nil
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// trim drops buffers that an idle session does not need.
func (o *outbox) trim() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.writing && len(o.small) == 0 {
		o.small, o.spare = nil, nil
	}
}

// stalled returns for how many ticks the write under way has made no progress.
func (o *outbox) stalled(now int64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since == 0 {
		return 0
	}
	return now - o.since
}

// progress notes that the peer took something.
func (o *outbox) progress() {
	o.mu.Lock()
	o.since = o.link.session.transport.now.Load()
	late := time.Time{}
	if o.parting && time.Now().Before(o.end) {
		late = time.Now().Add(closeTimeout)
	}
	o.mu.Unlock()
	if !late.IsZero() {
		_ = o.link.conn.SetWriteDeadline(late)
	}
}

// flush is the flusher's loop; it ends with the connection.
func (o *outbox) flush(conn net.Conn) {
	fw := fragmentWriter{conn: conn}
	if o.link.lossy {
		fw.number = o.number
	}
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		fw.vectored = true
	}
	for {
		select {
		case <-o.wake:
		case <-o.link.done:
			if !o.link.parting {
				return
			}
			<-o.wake // by fail, or by whoever has the socket
		}
		for yielded := false; ; yielded = true {
			if !yielded {
				runtime.Gosched() // let those who are about to append do so: one write instead of many
			}
			o.mu.Lock()
			if o.err != nil && !o.parting {
				o.mu.Unlock()
				return
			}
			batch, small, body := o.next()
			if batch == nil && body == nil {
				o.writing, o.since = false, 0
				o.recycle(nil)
				parted := o.err != nil
				o.mu.Unlock()
				if parted {
					return
				}
				fw.buf, fw.bufs, fw.heads = nil, nil, nil // an idle session does not need it
				break
			}
			o.since = o.link.session.transport.now.Load()
			o.mu.Unlock()

			var err error
			for rest := batch; len(rest) > 0 && err == nil; rest = rest[min(len(rest), wire.MaxInline):] {
				if len(rest) < len(batch) {
					o.progress()
				}
				_, err = conn.Write(rest[:min(len(rest), wire.MaxInline)])
			}
			n := 0
			if err == nil && body != nil {
				if batch != nil {
					o.progress()
				}
				n, err = fw.write(body)
				o.progress()
				runtime.Gosched() // large payloads go on for long
			}
			if err != nil {
				if body != nil { // it is out of o.bodies: nobody else lets it go
					close(body.done)
				}
				o.link.cut(connectionLost(err))
				return
			}

			o.mu.Lock()
			if !small {
				batch = nil // a tail: not worth keeping
			}
			o.recycle(batch)
			if body != nil {
				body.off += n
				if body.off == body.size || body.aborted || o.err != nil {
					o.finish(body)
				} else {
					o.bodies = append(o.bodies, body)
				}
			}
			o.mu.Unlock()
		}
	}
}

// next takes what to write next: the rest of a batch or all small frames (then
// small is true), and a fragment's payload. mu is held.
func (o *outbox) next() (batch []byte, small bool, body *outBody) {
	if len(o.rest) > 0 {
		batch, o.rest = o.rest, nil
		return batch, false, nil
	}
	if len(o.small) > 0 {
		batch, small = o.small, true
		o.small, o.spare = o.spare[:0], nil
	}
	if len(o.bodies) > 0 {
		body = o.bodies[0]
		o.bodies = slices.Delete(o.bodies, 0, 1)
	}
	return batch, small, body
}

// pieces is how many fragments of a payload are written at once: more cost fewer
// system calls, and make small frames wait for longer.
const pieces = 4

// fragmentWriter writes fragments, headers and pieces in one system call.
type fragmentWriter struct {
	conn     net.Conn
	vectored bool                // net.Buffers become one writev
	number   func() wire.CallNum // of a call whose last fragment this is; nil: it has none
	heads    []byte
	bufs     net.Buffers
	buf      []byte // of all of it, where there is no writev
}

// write writes the next pieces of b and returns their length.
func (w *fragmentWriter) write(b *outBody) (n int, err error) {
	const size = wire.PrefixSize + wire.FragmentHeaderSize
	if w.heads == nil {
		w.heads = make([]byte, 0, pieces*size)
	}
	bufs := w.bufs[:0]
	heads := w.heads[:0]
	for range pieces {
		piece := b.parts[0]
		if at := b.off + n; at < len(piece) {
			piece = piece[at:]
		} else {
			piece = b.parts[1][at-len(piece):]
		}
		if len(piece) == 0 {
			break
		}
		piece = piece[:min(len(piece), wire.MaxInline)]
		at := len(heads)
		if n += len(piece); w.number != nil && !b.ofReturn && b.off+n == b.size {
			heads = wire.AppendLastFragment(heads, b.slot, b.seq, len(piece), w.number())
		} else {
			heads = wire.AppendFragment(heads, b.slot, b.seq, b.ofReturn, len(piece))
		}
		bufs = append(bufs, heads[at:], piece)
	}
	w.bufs = bufs
	if w.vectored {
		_, err = w.bufs.WriteTo(w.conn) // consumes w.bufs
		clear(bufs)
		w.bufs = bufs[:0]
		return n, err
	}
	w.buf = w.buf[:0]
	for _, p := range bufs {
		w.buf = append(w.buf, p...)
	}
	clear(bufs)
	_, err = w.conn.Write(w.buf)
	return n, err
}

// connectionLost is the error of a session whose connection failed.
func connectionLost(err error) *fault.Error {
	return &fault.Error{Kind: fault.KindPeerGone, Msg: "the connection was lost", Err: err}
}

// parted waits until the last record was written, or over is closed.
func (o *outbox) parted(over <-chan struct{}) {
	for {
		o.mu.Lock()
		if !o.parting || len(o.small) == 0 && len(o.rest) == 0 && !o.writing {
			o.mu.Unlock()
			return
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-over:
			return
		}
	}
}
