package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"
)

// node is this program's end of the protocol. It dials and does not listen.
type node struct {
	key     ed25519.PrivateKey
	id      nodeID
	started int64

	features uint64 // which it announces

	mu      sync.Mutex
	objects map[uint64]*object
}

// object is something that peers can call: a function of one string, which is an interface with
// the method Call.
type object struct {
	description []byte
	described   chan struct{} // gets a value, if there is room, when a peer asks for the description
	call        func(ctx context.Context, in *incoming, name string) error

	methods map[uint32]func(args []any) ([]any, error) // of an object that is not a function
}

func newNode(features uint64) (*node, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	id := idOf(key.Public().(ed25519.PublicKey))
	return &node{key: key, id: id, started: time.Now().UnixNano(), features: features, objects: make(map[uint64]*object)}, nil
}

// export makes an object callable, and returns the reference to it. The reference has no place,
// because this node does not listen. A peer that has a connection with the node uses that.
func (n *node) export(o *object, fingerprint [16]byte) reference {
	o.described = make(chan struct{}, 1)
	var b [8]byte
	rand.Read(b[:])
	number := binary.BigEndian.Uint64(b[:]) | 1<<63 // far from the well-known numbers
	n.mu.Lock()
	n.objects[number] = o
	n.mu.Unlock()
	return reference{owner: owner{n.id, n.started}, number: number, name: "func(string)", fingerprint: fingerprint}
}

func (n *node) object(number uint64) *object {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.objects[number]
}
