package main

import (
	"context"
	"errors"
	"time"

	"gormi/rmi"
)

//go:generate go tool rmigen

// Chat is the remote interface that is bound in the registry: a house of rooms.
type Chat interface {
	// Join takes a seat in a room, which is made if there is none. The listener stays in the
	// caller's process. The server calls it for every line from then on, the caller's own included.
	// What was said before is in Seated.History: each line is in one of them, and in one only.
	// Errors: errNameTaken, errBadName, errFull.
	Join(ctx context.Context, room, name string, l Listener) (Seated, error)

	// Rooms returns the rooms in the order of their names.
	Rooms(ctx context.Context) ([]RoomInfo, error)
}

// Seat is a member's place in a room, a remote object that Join makes. After Leave, and after the
// server dropped the member, its methods fail with errNotHere.
type Seat interface {
	Say(ctx context.Context, text string) error
	Who(ctx context.Context) ([]string, error)
	Leave(ctx context.Context) error
}

// Listener is what a client implements.
type Listener interface {
	// Heard is called for every line of the room, in order. A jump of Seq shows that some were
	// lost.
	Heard(ctx context.Context, l Line) error
}

// Seated is the result of Join.
type Seated struct {
	Seat    Seat
	History []Line   // what was said before, oldest first
	Others  []string // who was there before
}

// RoomInfo is what Rooms says of a room.
type RoomInfo struct {
	Name    string
	Members int
}

// Line is something that happened in a room.
type Line struct {
	Seq  Seq
	Kind Kind
	Time time.Time
	From string // who said it, joined or left
	Text string // of Said
}

// Seq counts the lines of a room, without a gap.
type Seq uint64

// Kind says what happened.
type Kind uint8

const (
	Said Kind = iota
	Joined
	Left
	Gone // the member's process died, or its connection, and did not come back
)

// patienceForLost is the session lease of clients and servers. Somebody whose connection is cut
// stays in the room if it comes back within that time. After it, he has left for the others, and
// for him the server is gone.
const patienceForLost = 5 * time.Second

var (
	errNameTaken = errors.New("somebody in the room has this name")
	errBadName   = errors.New("names of people and rooms are 1 to 32 letters, digits, '-', '_' and '.'")
	errFull      = errors.New("there is no place left")
	errNotHere   = errors.New("you are not in the room any more")
	errTooLong   = errors.New("that is too long: at most 2000 bytes")
)

func init() {
	rmi.RegisterError("chat.NameTaken", errNameTaken)
	rmi.RegisterError("chat.BadName", errBadName)
	rmi.RegisterError("chat.Full", errFull)
	rmi.RegisterError("chat.NotHere", errNotHere)
	rmi.RegisterError("chat.TooLong", errTooLong)
}
