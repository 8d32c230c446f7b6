package transport

import (
	"context"
	"net"
	"runtime"
	"slices"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
	"gormi/rmi/wire"
)

// outbox is the writing half of a connection. Small frames are appended to small under its
// lock. If nobody is writing, whoever appended may write one batch itself, as far as the socket
// takes it without blocking. The flusher writes the rest, and everything where such a write is
// not possible (TLS, congestion, frames made by the reader). It is the one goroutine that may
// block in a write.
//
// Large payloads are cut into fragments. The payloads take turns, and one fragment goes after
// each batch of small frames. A payload begins only while the sum of those begun fits the
// peer's assembly budget. Its header is sent when it begins.
type outbox struct {
	link   *Link
	try    func([]byte) (int, error) // writes what the socket takes at once; nil: not possible here
	bound  int                       // bytes in small at which appenders wait
	budget int                       // the peer's assembly budget
	wake   chan struct{}             // capacity 1: there is work for the flusher

	mu guard.Mutex[lockedOutbox]
}

// lockedOutbox is the state of an outbox.
type lockedOutbox struct {
	of        *outbox
	small     []byte // whole small frames, in order
	spare     []byte // the other buffer, empty
	rest      []byte // the tail of a batch that try did not take; written before all else
	writing   bool   // somebody is writing: a caller in try, or the flusher
	bodies    []*outBody
	waiting   []*outBody    // not begun yet
	assembled int           // bytes of the payloads in bodies, in full
	room      chan struct{} // closed when small was taken; nil if nobody waits
	since     int64         // tick at which the write under way began; 0: none
	err       error         // why nothing is sent any more
	parting   bool          // except what is in rest and small, of which a close record is the last
	end       time.Time     // until when a peer that goes on reading may take it; see fail

	numbered wire.CallNum // of the last call sent, over datagrams: see order.go
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

// over reports whether nothing of b will be read any more: whether done is closed.
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
	o.mu.Lock().of = o
	o.mu.Unlock()
}

// lock locks the outbox once there is room for a small frame. The wait ends with ctx and, if it
// is not zero, at until. The error is the session's or the context's. If there is one, nothing
// is locked.
func (o *outbox) lock(ctx context.Context, until time.Time) (*lockedOutbox, error) {
	for {
		q := o.mu.Lock()
		if q.err == nil && len(q.small) < o.bound {
			return q, nil
		}
		room, err := q.awaited(), q.err
		o.mu.Unlock()
		if err == nil {
			err = o.waitForRoom(ctx, until, room)
		}
		if err != nil {
			return nil, err
		}
	}
}

// awaited returns the channel that is closed when small was taken.
func (q *lockedOutbox) awaited() <-chan struct{} {
	if q.room == nil {
		q.room = make(chan struct{})
	}
	return q.room
}

// waitForRoom is the slow part of lock.
func (o *outbox) waitForRoom(ctx context.Context, until time.Time, room <-chan struct{}) error {
	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	select {
	case <-room:
	case <-ctx.Done():
		return ctx.Err()
	case <-o.link.done: // the outbox is about to have an error
	}
	return nil
}

// send appends a call's frame, or queues its payload. again says that the call was made a while
// ago: then less of its time is left.
func (q *lockedOutbox) send(sl *slot, r *Request, again bool) {
	sl.sent.Store(uint32(q.of.link.epoch))
	sl.sends++
	h := &r.Header
	if again {
		c := r.Header
		c.Timeout = uint64(max(time.Until(r.Deadline).Microseconds(), 0)) + 1
		h = &c
	}
	if h.Payload.Len() <= wire.MaxInline {
		q.small = wire.AppendCall(q.small, h, 0, q.extensions(r.Extensions))
		q.small = append(append(q.small, r.Table...), r.Body...)
		return
	}
	sl.body = &outBody{
		header: wire.AppendCall(nil, h, wire.FlagFragmented, r.Extensions),
		parts:  [2][]byte{r.Table, r.Body}, slot: sl.num, seq: sl.seq, done: make(chan struct{}),
	}
	q.queueBody(sl.body)
}

// due is what is to be done after the lock, once frames were appended: write a batch, wake the
// flusher, or nothing.
type due struct {
	batch []byte
	kick  bool
}

// appended says how the frames that were appended get sent. The caller writes them itself if a
// write need not block. In a crowd more frames are about to come: then the flusher writes many
// at once.
func (q *lockedOutbox) appended(crowd bool) (d due) {
	switch {
	case q.writing:
	case q.of.try == nil || crowd:
		q.writing, d.kick = true, true
	default:
		q.writing, d.batch = true, q.small
		q.small, q.spare = q.spare[:0], nil
	}
	return d
}

// do does what is due after the lock.
func (o *outbox) do(d due) {
	if d.batch != nil {
		guard.NoneHeld()
		n, err := o.try(d.batch)
		q := o.mu.Lock()
		d.kick = q.tried(d.batch, n, err)
		o.mu.Unlock()
		if err != nil {
			o.link.cut(connectionLost(err))
		}
	}
	if d.kick {
		o.kick()
	}
}

// tried notes the result of a batch, of which try wrote n bytes. It reports whether to wake the
// flusher: to write the rest, or a close record that waits.
func (q *lockedOutbox) tried(batch []byte, n int, err error) (kick bool) {
	if err != nil {
		q.writing = false
		return true
	}
	if n < len(batch) {
		q.rest = batch[n:]
	} else {
		q.recycle(batch)
	}
	q.writing = len(q.rest) > 0 || len(q.small) > 0 || len(q.bodies) > 0
	return q.writing
}

// kick wakes the flusher, to which the caller hands the socket (writing stays true).
func (o *outbox) kick() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// recycle retains the memory of a written batch for the next one, and wakes those who wait for
// room.
func (q *lockedOutbox) recycle(batch []byte) {
	if batch != nil && cap(batch) <= 64<<10 && q.spare == nil {
		q.spare = batch[:0]
	}
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

// fromReader appends a frame that the reading goroutine made. It neither waits nor writes. A
// peer for which more answers wait than twice the bound loses its connection.
func (o *outbox) fromReader(appendTo func([]byte) []byte) error {
	q := o.mu.Lock()
	defer o.mu.Unlock()
	if q.err != nil {
		return nil // resume repeats on the next connection what is lost with this one
	}
	if len(q.small) > 2*o.bound {
		return wire.ProtocolError("W-67: the peer makes answers necessary and does not read them: %d bytes wait", len(q.small))
	}
	q.small = appendTo(q.small)
	q.handOver()
	return nil
}

// control appends a frame whose number this side's own calls bound: at most one cancel for each
// slot. It neither waits nor writes.
func (o *outbox) control(appendTo func([]byte) []byte) {
	q := o.mu.Lock()
	defer o.mu.Unlock()
	if q.err != nil {
		return
	}
	q.small = appendTo(q.small)
	q.handOver()
}

// sendBody queues a payload to travel in fragments. It neither waits nor writes.
func (o *outbox) sendBody(b *outBody) {
	q := o.mu.Lock()
	defer o.mu.Unlock()
	q.queueBody(b)
	q.handOver()
}

// queueBody queues a payload. On a connection that is lost or closed nothing is sent, and done
// is closed at once.
func (q *lockedOutbox) queueBody(b *outBody) {
	b.out, b.size = q.of, len(b.parts[0])+len(b.parts[1])
	if q.err != nil {
		close(b.done)
		return
	}
	q.waiting = append(q.waiting, b)
	q.begin()
}

// handOver lets the flusher write, if nobody is writing and there is something to write.
func (q *lockedOutbox) handOver() {
	if !q.writing && (len(q.small) > 0 || len(q.bodies) > 0) {
		q.writing = true
		q.of.kick()
	}
}

// begin begins waiting payloads while the budget lasts.
func (q *lockedOutbox) begin() {
	for len(q.waiting) > 0 && q.assembled+q.waiting[0].size <= q.of.budget {
		b := q.waiting[0]
		q.waiting = slices.Delete(q.waiting, 0, 1)
		q.assembled += b.size
		b.begun = true
		q.small = append(q.small, b.header...)
		q.bodies = append(q.bodies, b)
	}
}

// abort takes a call's payload back. begun tells whether its header may have been sent. told
// says that the caller need not send a cancel record. If the peer needs one, it is on its way,
// before anything that takes the payload's room in the budget.
func (o *outbox) abort(b *outBody) (begun, told bool) {
	q := o.mu.Lock()
	defer o.mu.Unlock()
	if b.off == b.size || q.err != nil {
		return b.begun, q.err != nil
	}
	b.aborted = true
	if !b.begun {
		if i := slices.Index(q.waiting, b); i >= 0 {
			q.waiting = slices.Delete(q.waiting, i, i+1)
		}
		close(b.done)
		return false, true
	}
	q.small = wire.AppendCancel(q.small, b.slot, b.seq)
	if i := slices.Index(q.bodies, b); i >= 0 { // else the flusher has it and will see aborted
		q.bodies = slices.Delete(q.bodies, i, i+1)
		q.finish(b)
	}
	q.handOver()
	return true, true
}

// finish gives the budget of a payload back.
func (q *lockedOutbox) finish(b *outBody) {
	q.assembled -= b.size
	close(b.done)
	q.begin()
}

// fail ends the outbox. Nothing is sent any more, and the payloads are dropped. If last, a
// close record, is not nil, the flusher first sends the frames that wait, and then last. A
// payload under way is not completed: nobody reads it behind a close record.
//
// Two callers give a last record. Session.Close ends a session in good order: the connection
// stays open meanwhile, and a peer that goes on reading gets more time, until end. After a
// breach of the protocol (Link.cutAfter) the connection ends at once for everybody but the
// flusher. Its time is fixed then, and end is zero.
func (o *outbox) fail(err error, last []byte, end time.Time) {
	q := o.mu.Lock()
	defer o.mu.Unlock()
	if last == nil {
		q.parting = false // a close record has had its time
	}
	if q.err != nil {
		return
	}
	q.err, q.end = err, end
	if last != nil {
		q.small, q.parting = append(q.small, last...), true
		q.handOver()
	}
	for _, b := range append(q.bodies, q.waiting...) {
		close(b.done)
	}
	q.bodies, q.waiting = nil, nil
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

// trim drops buffers that an idle session does not need.
func (o *outbox) trim() {
	q := o.mu.Lock()
	defer o.mu.Unlock()
	if !q.writing && len(q.small) == 0 {
		q.small, q.spare = nil, nil
	}
}

// stalled returns for how many ticks the write under way has made no progress.
func (o *outbox) stalled(now int64) int64 {
	q := o.mu.Lock()
	defer o.mu.Unlock()
	if q.since == 0 {
		return 0
	}
	return now - q.since
}

// progress notes that the peer took bytes.
func (o *outbox) progress() {
	q := o.mu.Lock()
	q.since = o.link.session.transport.now.Load()
	late := time.Time{}
	if q.parting && time.Now().Before(q.end) {
		late = time.Now().Add(closeTimeout)
	}
	o.mu.Unlock()
	if !late.IsZero() {
		_ = o.link.conn.SetWriteDeadline(late)
	}
}

// flush is the flusher's loop; it ends with the connection.
func (o *outbox) flush(conn net.Conn) {
	fw := fragmentWriter{conn: conn, vectored: o.link.vectored}
	if o.link.lossy {
		fw.number = o.number
	}
	for {
		select {
		case <-o.wake:
		case <-o.link.done:
			if !o.link.parting {
				return
			}
			<-o.wake // sent by fail, or by whoever is writing
		}
		for yielded := false; ; yielded = true {
			if !yielded {
				runtime.Gosched() // let those who are about to append do so: one write instead of many
			}
			q := o.mu.Lock()
			batch, small, body, over := q.next(o.link.session.transport.now.Load())
			o.mu.Unlock()
			if over {
				return
			}
			if batch == nil && body == nil {
				fw.buf, fw.bufs, fw.heads = nil, nil, nil // an idle session does not need it
				break
			}

			guard.NoneHeld()
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
				if body != nil { // it is not in bodies, so nobody else closes done
					close(body.done)
				}
				o.link.cut(connectionLost(err))
				return
			}

			if !small {
				batch = nil // a tail: its memory is not reused
			}
			q = o.mu.Lock()
			q.wrote(batch, body, n)
			o.mu.Unlock()
		}
	}
}

// next returns what to write next: the rest of a batch, or all small frames (then small is
// true), and a payload of which to write fragments. If there is nothing, the flusher stops
// writing. over says that nothing is to be sent any more.
func (q *lockedOutbox) next(now int64) (batch []byte, small bool, body *outBody, over bool) {
	if q.err != nil && !q.parting {
		return nil, false, nil, true
	}
	switch {
	case len(q.rest) > 0:
		batch, q.rest = q.rest, nil
		q.since = now
		return batch, false, nil, false
	case len(q.small) > 0:
		batch, small = q.small, true
		q.small, q.spare = q.spare[:0], nil
	case len(q.bodies) == 0:
		q.writing, q.since = false, 0
		q.recycle(nil)
		return nil, false, nil, q.err != nil
	}
	if len(q.bodies) > 0 {
		body = q.bodies[0]
		q.bodies = slices.Delete(q.bodies, 0, 1)
	}
	q.since = now
	return batch, small, body, false
}

// wrote notes that the flusher wrote a batch, and n bytes of a payload.
func (q *lockedOutbox) wrote(batch []byte, body *outBody, n int) {
	q.recycle(batch)
	if body == nil {
		return
	}
	body.off += n
	if body.off == body.size || body.aborted || q.err != nil {
		q.finish(body)
	} else {
		q.bodies = append(q.bodies, body)
	}
}

// pieces is how many fragments of a payload are written at once. More of them need fewer system
// calls, but small frames wait for longer.
const pieces = 4

// fragmentWriter writes fragments, with their headers, in one system call.
type fragmentWriter struct {
	conn     net.Conn
	vectored bool                // net.Buffers become one writev
	number   func() wire.CallNum // numbers a call, for its last fragment; nil: calls have no number
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
	return fault.Add(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "the connection was lost"), fault.Cause(err))
}

// parted waits until the last record was written, or over is closed.
func (o *outbox) parted(over <-chan struct{}) {
	for {
		q := o.mu.Lock()
		parted := !q.parting || len(q.small) == 0 && len(q.rest) == 0 && !q.writing
		room := q.awaited()
		o.mu.Unlock()
		if parted {
			return
		}
		select {
		case <-room:
		case <-over:
			return
		}
	}
}
