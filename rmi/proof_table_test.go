package rmi_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/internal/chaos"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/multicast"
	"gormi/rmi/wire"
)

// cutRow is a kind of record: how a test gets one sent, and what it means that the connection is
// cut right before, in the middle of and right after it. The documentation of package wire has the
// table in words.
type cutRow struct {
	kind   wire.FrameKind
	name   string
	match  func(wire.Prefix) bool // nil: every record of the kind
	n      int                    // the n-th of those; if zero, the first
	callee bool                   // who sends it is the callee; else the caller
	over   bool                   // the session does not go on
	clock  bool                   // it comes when time passes: runs on virtual time and in memory, not over TCP
	play   func(*stage)
}

var cutRows = []cutRow{
	{kind: wire.FrameCall, name: "small", play: func(s *stage) {
		s.call(1)
		if at := s.callee.Stats(); s.where == chaos.After && at.DuplicatesRunning+at.DuplicatesRetained == 0 {
			s.t.Error("the call arrived, and was not made out as a duplicate when it came again")
		}
	}},
	{kind: wire.FrameCall, name: "header of a body in fragments", match: fragmented, play: func(s *stage) { s.transfer(1, 300<<10, 0) }},
	{kind: wire.FrameFragment, name: "of a call", match: ofCall, n: 3, play: func(s *stage) { s.transfer(1, 300<<10, 0) }},
	{kind: wire.FrameFragment, name: "of a call, the last", match: func(p wire.Prefix) bool { return ofCall(p) && p.Length < wire.MaxInline }, play: func(s *stage) {
		s.transfer(1, 300<<10, 0)
	}},
	{kind: wire.FrameReturn, name: "small", callee: true, play: func(s *stage) { s.call(1) }},
	{kind: wire.FrameReturn, name: "an error", callee: true, match: func(p wire.Prefix) bool { return p.Flags&wire.FlagError != 0 }, play: func(s *stage) {
		_, err := s.there.Do(s.ctx, -1)
		s.told.note(-1, err)
		expect{rmi.KindApplication, rmi.OutcomeExecuted, nil}.check(s.t, err)
	}},
	{kind: wire.FrameReturn, name: "header of a body in fragments", callee: true, match: fragmented, play: func(s *stage) { s.transfer(1, 8, 300<<10) }},
	{kind: wire.FrameFragment, name: "of a return", callee: true, match: ofReturn, n: 3, play: func(s *stage) { s.transfer(1, 8, 300<<10) }},
	{kind: wire.FrameFragment, name: "of a return, the last", callee: true, match: func(p wire.Prefix) bool { return ofReturn(p) && p.Length < wire.MaxInline }, play: func(s *stage) {
		s.transfer(1, 8, 300<<10)
	}},
	{kind: wire.FrameCall, name: "of a callback", callee: true, play: callback},
	{kind: wire.FrameReturn, name: "of a callback", play: callback},
	{kind: wire.FrameCancel, name: "of a call that runs", play: func(s *stage) {
		ctx, cancel := context.WithCancel(s.ctx)
		defer cancel()
		result := s.begin(ctx)
		cancel()
		expect{rmi.KindCancelled, rmi.OutcomeUnknown, context.Canceled}.check(s.t, receive(s.t, result))
		if err := receive(s.t, s.ended); !errors.Is(err, context.Canceled) {
			s.t.Errorf("the method saw %v", err)
		}
	}},
	{kind: wire.FramePing, name: "of the caller", clock: true, play: silence},
	{kind: wire.FramePing, name: "of the callee", callee: true, clock: true, play: silence},
	{kind: wire.FramePong, name: "of the caller", clock: true, play: silence},
	{kind: wire.FramePong, name: "of the callee", callee: true, clock: true, play: silence},
	{kind: wire.FrameStream, name: "first of the lane", play: stream},
	{kind: wire.FrameStream, name: "in the middle", n: 20, play: stream},
	{kind: wire.FrameGoAway, name: "of the callee", callee: true, clock: true, over: true, play: func(s *stage) {
		result := s.begin(s.ctx)
		ctx, cancel := context.WithTimeout(s.ctx, 5*time.Minute)
		defer cancel()
		down := make(chan error, 1)
		go func() { down <- s.callee.Shutdown(ctx) }()
		receive(s.t, s.cutter.Cutting())
		time.Sleep(time.Second)
		if _, err := s.there.Do(s.ctx, 2); rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted {
			s.t.Errorf("a new call: %v", err)
		}
		close(s.release)
		select { // it goes on, or it is not known that it did
		case err := <-result:
			if err != nil && rmi.OutcomeOf(err) != rmi.OutcomeUnknown {
				s.t.Errorf("the call in flight: %v", err)
			}
			figure(s.t, "the call in flight: %v", err)
		case <-time.After(10 * time.Minute):
			s.t.Error("the call in flight did not end")
		}
		if err := <-down; err != nil {
			s.t.Errorf("Shutdown: %v", err)
		}
	}},
	{kind: wire.FrameClose, name: "of the callee", callee: true, clock: true, over: true, play: func(s *stage) {
		result := s.begin(s.ctx)
		start := time.Now()
		if err := s.callee.Close(); err != nil {
			s.t.Error(err)
		}
		expect{rmi.KindPeerGone, rmi.OutcomeUnknown, nil}.check(s.t, <-result)
		if d := time.Since(start); s.where == chaos.After && d > 5*time.Second || d > lease+5*time.Second {
			s.t.Errorf("the caller learnt after %v that the session is over", d)
		}
		time.Sleep(2 * lease)
		if at := s.caller.Stats(); at.Sessions != 0 || at.Exports != 1 {
			s.t.Errorf("at the caller %d sessions and %d exports are left", at.Sessions, at.Exports)
		}
	}},
	{kind: wire.FrameClose, name: "of the caller", clock: true, over: true, play: func(s *stage) {
		result := s.begin(s.ctx)
		start := time.Now()
		if err := s.caller.Close(); err != nil {
			s.t.Error(err)
		}
		expect{rmi.KindClosed, rmi.OutcomeUnknown, nil}.check(s.t, <-result)
		if err := <-s.ended; !errors.Is(err, context.Canceled) {
			s.t.Errorf("the method saw %v", err)
		}
		if d := time.Since(start); s.where == chaos.After && d > 5*time.Second || d > lease+5*time.Second {
			s.t.Errorf("the callee learnt after %v that the session is over", d)
		}
		time.Sleep(2 * lease)
		if at := s.callee.Stats(); at.Sessions != 0 || at.Exports != 1 || at.RetainedReplies != 0 {
			s.t.Errorf("at the callee %d sessions, %d exports and %d replies are left", at.Sessions, at.Exports, at.RetainedReplies)
		}
	}},
	{kind: wire.FrameAck, name: "of a large reply", clock: true, play: func(s *stage) {
		// Several concurrently, in a slot each: a call that the nodes make themselves may
		// use one's slot again, which acknowledges it too.
		s.gather.Add(3)
		var transfers sync.WaitGroup
		for id := range uint32(3) {
			transfers.Go(func() { s.transfer(10+id, 8, 300<<10) })
		}
		transfers.Wait()
		receive(s.t, s.cutter.Cutting())
		s.call(2)
		time.Sleep(time.Minute)
		if n := s.callee.Stats().RetainedBytes; n > 32<<10 {
			s.t.Errorf("%d bytes of replies are kept", n)
		}
	}},
}

func fragmented(p wire.Prefix) bool { return p.Flags&wire.FlagFragmented != 0 }
func ofCall(p wire.Prefix) bool     { return p.Flags&wire.FlagOfReturn == 0 }
func ofReturn(p wire.Prefix) bool   { return p.Flags&wire.FlagOfReturn != 0 }

// callback is a call that calls back.
func callback(s *stage) {
	n, err := s.there.Apply(s.ctx, func(_ context.Context, id int64) (int64, error) {
		s.ran.enter(id)
		return id, nil
	}, 1)
	if s.told.note(1, err); n != 1 || err != nil {
		s.t.Errorf("the callback's result is %d, %v", n, err)
	}
}

// silence lasts until there are pings, during a call.
func silence(s *stage) {
	result := s.begin(s.ctx)
	receive(s.t, s.cutter.Cutting())
	time.Sleep(time.Second)
	close(s.release)
	if err := receive(s.t, result); err != nil {
		s.t.Error(err)
	}
}

// stream sends values on the stream lane: those on their way at the cut may be
// lost, those after it arrive, and none comes twice or out of its turn.
func stream(s *stage) {
	const values = 40
	events := newSink[int](s.t)
	to, stop := s.callee.Port().Multicast().Register(events)
	defer stop()
	send := func(n int) error {
		packet, err := events.codec.Packet(s.caller.Port().Multicast(), n)
		if err != nil {
			s.t.Fatal(err)
		}
		p := s.caller.Port().Multicast().Peer(s.callee.ID())
		if p == nil {
			return errors.New("no session")
		}
		_, err = p.Send([]multicast.Message{{To: []multicast.ReceiverID{to}, Packet: packet}})
		return err
	}
	last, got := 0, 0
	take := func(v string) {
		var n int
		if _, err := fmt.Sscan(strings.TrimSpace(v), &n); err != nil || n <= last {
			s.t.Errorf("after %d came %q", last, v)
		}
		last = n
		got++
	}
	cut := false
	for n := 1; n <= values || !cut; n++ {
		_ = send(n) // may fail at the cut
		select {
		case v := <-events.got:
			take(v)
		case <-s.cutter.Cutting():
			cut = true
		}
	}
	if s.call(1); s.t.Failed() { // the next connection is there
		return
	}
	for n := 10_000; last < 10_000 && s.ctx.Err() == nil; n++ { // the lane, too, soon is
		_ = send(n)
		select {
		case v := <-events.got:
			take(v)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if last < 10_000 {
		s.t.Error("nothing comes any more")
	}
}

// stage is where a row is played: two nodes, one of which dialled the other,
// through a cutter.
type stage struct {
	t                *testing.T
	ctx              context.Context
	where            chaos.Where
	cutter           *chaos.Cutter
	caller, callee   *rmi.Node
	there            Worker // the callee's object, at the caller
	up, down         Worker // the object of the node that listens, at the one that dialled; and the other way
	ran              ledger
	told             tally
	running, release chan struct{} // of the call that begin makes
	ended            chan error
	gather           sync.WaitGroup // calls of Bytes
}

// set makes the stage for a row. way is that of the record.
func set(t *testing.T, row *cutRow, way chaos.Way, where chaos.Where) *stage {
	t.Helper()
	match := row.match
	return setRule(t, row, chaos.Rule{Way: way, Where: where, N: row.n, Match: func(p wire.Prefix) bool {
		return p.Kind == row.kind && (match == nil || match(p))
	}})
}

// setRule is set for any rule.
func setRule(t *testing.T, row *cutRow, rule chaos.Rule) *stage {
	t.Helper()
	s := &stage{
		t: t, ctx: duration(t, time.Hour), where: rule.Where,
		running: make(chan struct{}, 1), release: make(chan struct{}), ended: make(chan error, 1),
	}
	listens, dials, between := chaos.Network(chaos.TCP{}), chaos.Network(chaos.TCP{}), chaos.Network(chaos.TCP{})
	at, in := "127.0.0.1:0", "127.0.0.1:0"
	if row.clock {
		network := memnet.New()
		listens, dials, between = network.Host("listens"), network.Host("dials"), network.Host("between")
		at, in = "listens:0", "between:0"
	} else {
		s.ctx = duration(t, 20*time.Second)
	}
	var err error
	if s.cutter, err = chaos.NewCutter(between, in, rule); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.cutter.Close)
	listener := quiet(t, &rmi.Options{Network: listens, Advertise: s.cutter.Addr()})
	addr, err := listener.Listen(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	s.cutter.To(addr.String())
	dialler := quiet(t, &rmi.Options{Network: dials})

	servant := &worker{
		do:    s.do,
		bytes: s.bytes,
		apply: func(ctx context.Context, f Func, id int64) (int64, error) { return f(ctx, id) },
	}
	met := make(chan Worker, 1)
	welcome := *servant
	welcome.meet = func(_ context.Context, w Worker) (Worker, error) {
		met <- w
		return nil, nil
	}
	s.up = hire(t, listener, dialler, &welcome)
	export[Worker](t, dialler, servant, nil)
	if _, err := s.up.Meet(s.ctx, servant); err != nil {
		t.Fatal(err)
	}
	s.down = <-met
	if (rule.Way == chaos.Up) != row.callee { // the caller dialled
		s.caller, s.callee, s.there = dialler, listener, s.up
	} else {
		s.caller, s.callee, s.there = listener, dialler, s.down
	}
	// What comes once in a session has come: agreement on the interfaces.
	for _, w := range []Worker{s.up, s.down} {
		if _, err := w.Sum(s.ctx, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Apply(s.ctx, func(_ context.Context, n int64) (int64, error) { return n, nil }, 1); err != nil {
			t.Fatal(err)
		}
	}
	s.cutter.Arm()
	return s
}

// do is the servants' Do: 1000 waits for release, negative numbers fail.
func (s *stage) do(ctx context.Context, id int64) (int64, error) {
	s.ran.enter(id)
	switch {
	case id < 0:
		return 0, errors.New("negative")
	case id == 1000:
		s.running <- struct{}{}
		select {
		case <-s.release:
			s.ended <- nil
			return id, nil
		case <-ctx.Done():
			s.ended <- ctx.Err()
			return 0, ctx.Err()
		}
	}
	return id, nil
}

// bytes takes an id and a size, and returns so many bytes; from 10 on when all that
// are to gather run.
func (s *stage) bytes(_ context.Context, b []byte) ([]byte, error) {
	id := binary.BigEndian.Uint32(b)
	s.ran.enter(int64(id))
	if id >= 10 {
		s.gather.Done()
		s.gather.Wait()
	}
	return make([]byte, binary.BigEndian.Uint32(b[4:])), nil
}

// call makes a call that must come to its end.
func (s *stage) call(id int64) {
	s.t.Helper()
	n, err := s.there.Do(s.ctx, id)
	s.told.note(id, err)
	if n != id || err != nil {
		s.t.Errorf("call %d: %d, %v", id, n, err)
	}
}

// transfer makes a call with an argument and a result of these sizes.
func (s *stage) transfer(id uint32, up, down int) {
	s.t.Helper()
	b := make([]byte, up)
	binary.BigEndian.PutUint32(b, id)
	binary.BigEndian.PutUint32(b[4:], uint32(down))
	got, err := s.there.Bytes(s.ctx, b)
	s.told.note(int64(id), err)
	if len(got) != down || err != nil {
		s.t.Errorf("call %d: %d bytes, %v", id, len(got), err)
	}
}

// begin makes a call that waits for release and returns when it runs.
func (s *stage) begin(ctx context.Context) <-chan error {
	result := make(chan error, 1)
	go func() {
		_, err := s.there.Do(ctx, 1000)
		s.told.note(1000, err)
		result <- err
	}()
	receive(s.t, s.running)
	return result
}

// close checks what holds for every row.
func (s *stage) close(row *cutRow) {
	s.t.Helper()
	select {
	case <-s.cutter.Cutting():
	default:
		s.t.Errorf("no such record came: this proves nothing")
	}
	if err := s.cutter.Err(); err != nil {
		s.t.Error(err)
	}
	if !row.over {
		// The connection is made again, by the side that can, and serves both.
		for i, w := range []Worker{s.down, s.up} {
			id := int64(2001 + i)
			n, err := w.Do(s.ctx, id)
			if s.told.note(id, err); n != id || err != nil {
				s.t.Errorf("afterwards: %d, %v", n, err)
			}
		}
		a, b := s.caller.Stats(), s.callee.Stats()
		if a.Resumes == 0 || b.Resumes == 0 {
			s.t.Errorf("%d and %d resumes: none happened", a.Resumes, b.Resumes)
		}
		if a.Sessions != 1 || b.Sessions != 1 {
			s.t.Errorf("%d and %d sessions", a.Sessions, b.Sessions)
		}
	}
	s.told.check(s.t, &s.ran)
}

func TestProofCutsAtEveryRecord(t *testing.T) {
	played := 0
	for i := range cutRows {
		row := &cutRows[i]
		for _, where := range []chaos.Where{chaos.Before, chaos.Middle, chaos.After} {
			for _, way := range []chaos.Way{chaos.Up, chaos.Down} {
				played++
				t.Run(fmt.Sprintf("%v %v, %s, %v", where, row.kind, row.name, way), func(t *testing.T) {
					play := func(t *testing.T) {
						s := set(t, row, way, where)
						row.play(s)
						s.close(row)
					}
					if row.clock {
						synctest.Test(t, play)
					} else {
						play(t)
					}
				})
			}
		}
	}
	figure(t, "%d cuts", played)
}

// The handshake that is to resume a session is cut at each of its messages,
// both ways, or one way so that one side may think that it succeeded: the next
// one resumes the session, and the call in flight completes.
func TestProofCutsInTheHandshakeOfAResume(t *testing.T) {
	messages := []struct {
		name string
		kind wire.HandshakeKind
		way  chaos.Way
	}{
		{"the dialler's hello", wire.HandshakeHello, chaos.Up},
		{"the listener's hello", wire.HandshakeHello, chaos.Down},
		{"the dialler's proof", wire.HandshakeProof, chaos.Up},
		{"the listener's proof", wire.HandshakeProof, chaos.Down},
		{"welcome", wire.HandshakeWelcome, chaos.Down},
	}
	played := 0
	for _, m := range messages {
		for _, where := range []chaos.Where{chaos.Before, chaos.Middle, chaos.After} {
			for _, oneWay := range []bool{false, true} {
				played++
				t.Run(fmt.Sprintf("%v %s, %s", where, m.name, map[bool]string{true: "one way", false: "both ways"}[oneWay]), func(t *testing.T) {
					row := new(cutRow)
					s := setRule(t, row, chaos.Rule{Way: m.way, Message: m.kind, Where: where, OneWay: oneWay})
					result := s.begin(s.ctx)
					s.cutter.Cut()
					receive(t, s.cutter.Cutting())
					s.call(1)
					close(s.release)
					if err := receive(t, result); err != nil {
						t.Error(err)
					}
					s.close(row)
				})
			}
		}
	}
	figure(t, "%d cuts", played)
}

// Every kind of record has a row.
func TestCutTableIsComplete(t *testing.T) {
	for k := wire.FrameKind(1); !strings.HasPrefix(k.String(), "frame kind"); k++ {
		found := false
		for i := range cutRows {
			found = found || cutRows[i].kind == k
		}
		if !found {
			t.Errorf("no row says what a cut at a %v record means", k)
		}
	}
}
