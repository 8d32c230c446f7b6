package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// heard is a Listener that keeps lines for the test.
type heard chan Line

func (h heard) Heard(_ context.Context, l Line) error {
	h <- l
	return nil
}

// next returns the next line, without its time, which is checked.
func (h heard) next(t *testing.T) Line {
	t.Helper()
	select {
	case l := <-h:
		if l.Time.IsZero() {
			t.Errorf("%v has no time", l)
		}
		l.Time = time.Time{}
		return l
	case <-t.Context().Done():
	case <-time.After(time.Minute):
	}
	t.Fatal("no line was heard")
	return Line{}
}

// newChat serves a chat. proxy returns it as a client has it, each time another one.
func newChat(t *testing.T, network *rmitest.Network) (h *hall, proxy func() (Chat, *rmi.Node)) {
	t.Helper()
	owner := network.NodeWith(&rmi.Options{SessionLease: patienceForLost})
	h = newHall(owner)
	handle, err := rmi.Export[Chat](owner, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	return h, func() (Chat, *rmi.Node) {
		n := network.Client()
		c, err := rmi.Resolve[Chat](n, handle.Ref(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c, n
	}
}

func TestHall(t *testing.T) {
	ctx := t.Context()
	h, proxy := newChat(t, rmitest.New(t))
	house, _ := proxy()
	other, otherNode := proxy()
	ada, bob := make(heard, 100), make(heard, 100)

	a, err := house.Join(ctx, "tea", "Ada", ada)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		room, name string
		l          Listener
		want       error
	}{
		{"tea", "Ada", bob, errNameTaken},
		{"te a", "Bob", bob, errBadName},
		{"tea", "", bob, errBadName},
		{"tea", "Bo\x1bb", bob, errBadName},
		{"tea", "Bob", nil, rmi.KindInvalid},
	} {
		if _, err := other.Join(ctx, c.room, c.name, c.l); !errors.Is(err, c.want) {
			t.Errorf("Join(%q, %q, %v): %v, want %v", c.room, c.name, c.l, err, c.want)
		}
	}
	for _, text := range []string{"one", " ", "two\x1b[2J\n"} {
		if err := a.Seat.Say(ctx, text); err != nil {
			t.Errorf("Say(%q): %v", text, err)
		}
	}
	if err := a.Seat.Say(ctx, strings.Repeat("x", maxText+1)); !errors.Is(err, errTooLong) {
		t.Errorf("a text that is too long: %v", err)
	}
	b, err := other.Join(ctx, "tea", "Bob", bob)
	if err != nil {
		t.Fatal(err)
	}
	var history []string
	for _, l := range b.History {
		history = append(history, fmt.Sprintf("%d %s %s", l.Seq, l.From, l.Text))
	}
	if want := []string{"2 Ada one", "3 Ada two\ufffd[2J"}; !slices.Equal(history, want) || !slices.Equal(b.Others, []string{"Ada"}) {
		t.Errorf("Bob's history is %q, others %q, want %q, Ada", history, b.Others, want)
	}
	otherNode.Close()
	for _, want := range []Line{
		{Seq: 1, Kind: Joined, From: "Ada"},
		{Seq: 2, From: "Ada", Text: "one"},
		{Seq: 3, From: "Ada", Text: "two\ufffd[2J"},
		{Seq: 4, Kind: Joined, From: "Bob"},
		{Seq: 5, Kind: Gone, From: "Bob"},
	} {
		if got := ada.next(t); got != want {
			t.Errorf("Ada heard %v, want %v", got, want)
		}
	}
	if err := a.Seat.Leave(ctx); err != nil {
		t.Error(err)
	}
	_, who := a.Seat.Who(ctx)
	for _, err := range []error{a.Seat.Leave(ctx), a.Seat.Say(ctx, "x"), who} {
		if !errors.Is(err, errNotHere) {
			t.Errorf("after Leave: %v, want %v", err, errNotHere)
		}
	}
	if !h.whenVacant(func() {}) {
		t.Error("the hall is not vacant")
	}
}

// TestCut: somebody whose connection comes back soon was never away, and missed nothing. Somebody
// whose machine vanished silently is gone after the time after which peers are given up, and the
// server's patience.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		h, proxy := newChat(t, network)
		house, _ := proxy()
		other, otherNode := proxy()
		ada, bob := make(heard, 100), make(heard, 100)
		a, err := house.Join(t.Context(), "tea", "Ada", ada)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Join(t.Context(), "tea", "Bob", bob); err != nil {
			t.Fatal(err)
		}
		ada.next(t)
		ada.next(t)
		bob.next(t)
		for seq := Seq(3); seq < 6; seq++ {
			network.Partition(h.node, otherNode)
			network.Cut(h.node, otherNode)
			if err := a.Seat.Say(t.Context(), "hello"); err != nil {
				t.Error(err)
			}
			<-time.After(patienceForLost / 5)
			network.Heal(h.node, otherNode)
			want := Line{Seq: seq, From: "Ada", Text: "hello"}
			if x, y := ada.next(t), bob.next(t); x != want || y != want {
				t.Errorf("Ada heard %v and Bob %v, want %v", x, y, want)
			}
		}
		network.Partition(h.node, otherNode)
		since := time.Now()
		if got, want := ada.next(t), (Line{Seq: 6, Kind: Gone, From: "Bob"}); got != want {
			t.Errorf("Ada heard %v, want %v", got, want)
		}
		if d := time.Since(since); d > 20*time.Second+patienceForLost {
			t.Errorf("Bob was gone after %v", d)
		}
	})
}

// TestBounds: rooms, members and history have an end.
func TestBounds(t *testing.T) {
	ctx := t.Context()
	_, proxy := newChat(t, rmitest.New(t))
	house, _ := proxy()
	quiet := make(heard, maxMembers*maxMembers)
	first, err := house.Join(ctx, "room0", "a", quiet)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxHistory + 5 {
		if err := first.Seat.Say(ctx, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i < maxMembers; i++ {
		s, err := house.Join(ctx, "room0", fmt.Sprint(i), quiet)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(s.History); n != maxHistory || s.History[0].Text != "5" || s.History[n-1].Text != fmt.Sprint(maxHistory+4) {
			t.Fatalf("the history has %d lines: %v", n, s.History)
		}
	}
	if _, err := house.Join(ctx, "room0", "b", quiet); !errors.Is(err, errFull) {
		t.Errorf("one member too many: %v", err)
	}
	seats := make(map[string]Seat)
	for i := 1; i < maxRooms; i++ {
		room := fmt.Sprint("room", i)
		s, err := house.Join(ctx, room, "a", quiet)
		if err != nil {
			t.Fatal(err)
		}
		seats[room] = s.Seat
	}
	if _, err := house.Join(ctx, "more", "a", quiet); !errors.Is(err, errFull) {
		t.Errorf("one room too many: %v", err)
	}
	for _, room := range []string{"room7", "room3"} { // the first one that is left is forgotten first
		if err := seats[room].Leave(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := house.Join(ctx, "more", "a", quiet); err != nil {
		t.Error(err)
	}
	infos, err := house.Rooms(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(infos) != maxRooms || slices.Contains(infos, RoomInfo{"room7", 0}) || !slices.Contains(infos, RoomInfo{"room3", 0}) ||
		!slices.Contains(infos, RoomInfo{"room0", maxMembers}) || !slices.Contains(infos, RoomInfo{"more", 1}) {
		t.Errorf("the %d rooms are %v", len(infos), infos)
	}
}

// TestEar: lines wait for the history, come once and in order, and missing ones are told.
func TestEar(t *testing.T) {
	var b strings.Builder
	e := newEar(&view{w: &b}, "Ada")
	early := make(chan error)
	go func() { early <- e.Heard(t.Context(), Line{Seq: 7, From: "Bob", Text: "early"}) }()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Heard(over, Line{Seq: 6, From: "Bob", Text: "given up"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that was given up returned %v", err)
	}
	e.view.print("history")
	e.open()
	if err := <-early; err != nil {
		t.Error(err)
	}
	for _, l := range []Line{
		{Seq: 7, From: "Bob", Text: "again"},
		{Seq: 5, From: "Bob", Text: "late"},
		{Seq: 8, Kind: Joined, From: "Ada"},
		{Seq: 9, Kind: Joined, From: "Cy"},
		{Seq: 12, From: "Ada", Text: "mine"},
		{Seq: 13, Kind: Left, From: "Cy"},
		{Seq: 14, Kind: 200, From: "Cy"},
	} {
		if err := e.Heard(t.Context(), l); err != nil {
			t.Error(err)
		}
	}
	e.close()
	e.close()
	if err := e.Heard(t.Context(), Line{Seq: 15, From: "Bob", Text: "behind my back"}); err != nil {
		t.Error(err)
	}
	want := "history\nBob: early\n* Cy came in\n* 2 lines are missing here: they came faster than this terminal took them\nAda: mine\n* Cy left\n"
	if b.String() != want {
		t.Errorf("the ear showed %q, want %q", b.String(), want)
	}
}

// TestTwoServers: the server that serves the registry goes on doing that while the server lives
// that bound first.
func TestTwoServers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	u, err := address(serveRegistry(t))
	if err != nil {
		t.Fatal(err)
	}
	quick, err := rmi.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer quick.Close()
	if other, err := (&server{at: u}).bind(ctx, quick, newHall(quick)); other != nil || err != nil {
		t.Fatal(other, err)
	}
	if err := (&server{at: u, out: io.Discard}).run(ctx); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("a second server: %v", err)
	}
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- (&server{at: u, out: in, background: true, stdin: strings.NewReader(""), registry: true}).run(ctx)
	}()
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != stays; {
	}
	if err := quick.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil || ctx.Err() != nil {
		t.Error(err, ctx.Err())
	}
}
