package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gormi/callback"
	"gormi/rmi"
)

// Bounds of what the server keeps.
const (
	maxRooms   = 256
	maxMembers = 256 // of a room
	maxHistory = 50  // lines of a room
	maxText    = 2000
	maxWaiting = 256 // lines for one listener
)

// hall is the remote object that is bound: the rooms. An empty room keeps its history until its
// place is needed.
type hall struct {
	node *rmi.Node

	mu      sync.Mutex // guards the fields below and those of rooms and seats; no call is made while it is held
	rooms   map[string]*room
	members int
	vacant  func() // called, with mu held, when nobody is left, and then no more
}

type room struct {
	hall      *hall
	name      string
	listeners *callback.Listeners[Listener]
	seats     map[string]*seat // by the member's name
	history   []Line
	seq       Seq
	used      time.Time
}

var _ Chat = (*hall)(nil)

func newHall(n *rmi.Node) *hall { return &hall{node: n, rooms: make(map[string]*room)} }

// Join adds the listener and takes the history in one step, so that no line is lost between.
func (h *hall) Join(ctx context.Context, name, member string, l Listener) (Seated, error) {
	if !validName(name) || !validName(member) {
		return Seated{}, errBadName
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r, err := h.room(name)
	if err != nil {
		return Seated{}, err
	}
	if r.seats[member] != nil {
		return Seated{}, errNameTaken
	}
	if len(r.seats) >= maxMembers {
		return Seated{}, errFull
	}
	s := &seat{room: r, name: member, listener: l}
	if s.sub, err = r.listeners.Add(l); err != nil {
		return Seated{}, err
	}
	seated := Seated{Seat: s, History: slices.Clone(r.history), Others: r.names()}
	r.seats[member] = s
	h.members++
	r.tell(Line{Kind: Joined, From: member})
	return seated, nil
}

// room returns a room, a new one if there is none of this name. mu is held.
func (h *hall) room(name string) (*room, error) {
	if r := h.rooms[name]; r != nil {
		return r, nil
	}
	if len(h.rooms) >= maxRooms {
		var oldest *room // that is empty
		for _, r := range h.rooms {
			if len(r.seats) == 0 && (oldest == nil || r.used.Before(oldest.used)) {
				oldest = r
			}
		}
		if oldest == nil {
			return nil, errFull
		}
		delete(h.rooms, oldest.name)
		oldest.listeners.Close()
	}
	r := &room{hall: h, name: name, seats: make(map[string]*seat), used: time.Now()}
	r.listeners = callback.NewListeners[Listener](h.node, &callback.ListenersOptions[Listener]{
		Queue:   maxWaiting,
		Policy:  callback.PolicyDropOldest, // who reads too slowly sees by the numbers that lines are missing
		Timeout: 10 * time.Second,
		GiveUp:  5 * time.Second,
		OnDrop:  func(l Listener, _ error) { r.drop(l) },
	})
	h.rooms[name] = r
	return r, nil
}

// Rooms is what /rooms shows.
func (h *hall) Rooms(context.Context) ([]RoomInfo, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	infos := make([]RoomInfo, 0, len(h.rooms))
	for _, r := range h.rooms {
		infos = append(infos, RoomInfo{r.name, len(r.seats)})
	}
	slices.SortFunc(infos, func(a, b RoomInfo) int { return cmp.Compare(a.Name, b.Name) })
	return infos, nil
}

// whenVacant calls f once nobody is in any room. If that is so already, it calls f now and returns
// true.
func (h *hall) whenVacant(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.members > 0 {
		h.vacant = f
		return false
	}
	f()
	return true
}

// drop removes a member whose listener cannot be called any more.
func (r *room) drop(l Listener) {
	r.hall.mu.Lock()
	defer r.hall.mu.Unlock()
	for _, s := range r.seats {
		if s.listener == l {
			r.remove(s, Gone)
		}
	}
}

// remove takes a member out and tells the others. mu is held.
func (r *room) remove(s *seat, k Kind) {
	delete(r.seats, s.name)
	r.used = time.Now()
	r.tell(Line{Kind: k, From: s.name})
	h := r.hall
	if h.members--; h.members == 0 && h.vacant != nil {
		h.vacant()
		h.vacant = nil
	}
}

// tell notifies every listener. Each has a queue, so one that is slow or dead delays nobody. mu is
// held, so that all get the lines in the order of their numbers.
func (r *room) tell(l Line) {
	r.seq++
	l.Seq, l.Time = r.seq, time.Now()
	if l.Kind == Said {
		if len(r.history) == maxHistory {
			r.history = slices.Delete(r.history, 0, 1)
		}
		r.history = append(r.history, l)
	}
	r.listeners.Notify(func(ctx context.Context, to Listener) error { return to.Heard(ctx, l) })
}

// names returns the members' names in order. mu is held.
func (r *room) names() []string { return slices.Sorted(maps.Keys(r.seats)) }

// seat is a member's remote object.
type seat struct {
	room     *room
	name     string
	listener Listener
	sub      callback.Subscription
}

var _ Seat = (*seat)(nil)

// enter locks the hall if the seat is still taken. The caller unlocks.
func (s *seat) enter() error {
	s.room.hall.mu.Lock()
	if s.room.seats[s.name] != s {
		s.room.hall.mu.Unlock()
		return errNotHere
	}
	return nil
}

func (s *seat) Say(_ context.Context, text string) error {
	if len(text) > maxText {
		return errTooLong
	}
	text = strings.TrimSpace(clean(text))
	if err := s.enter(); err != nil {
		return err
	}
	defer s.room.hall.mu.Unlock()
	if text != "" {
		s.room.tell(Line{Kind: Said, From: s.name, Text: text})
	}
	return nil
}

func (s *seat) Who(context.Context) ([]string, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.room.hall.mu.Unlock()
	return s.room.names(), nil
}

func (s *seat) Leave(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	s.room.remove(s, Left)
	s.room.hall.mu.Unlock()
	return s.sub.Cancel(ctx)
}
