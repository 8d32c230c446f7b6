// Package transport carries calls between nodes. It dials and listens, proves
// who is at the other end, keeps one session with each peer, and runs the
// handlers of the calls that arrive. It knows slots, frames and bytes, and
// nothing of Go types; package wire specifies what is on the wire.
//
// A Transport belongs to a node. Session explains who does what on a
// connection; peers, how one connection is left when two nodes dial each other;
// outbox, how frames get to the socket; callTable and callee, the two ends of a
// slot.
//
// # Decisions
//
// A caller writes its own frame when nobody else is writing, by a write that
// does not block, which saves the hop to another goroutine; measured with one
// caller that is what makes a call as fast as net/rpc's or faster. With more
// than a few calls under way (crowd) that makes many small writes, and leaving
// all frames to the flusher, which yields once before it takes what has
// gathered, more than doubled the calls per second of 64 callers (99,000 to
// 213,000 on a machine of two cores).
//
// Keepalive counts ticks of the transport's own clock, not time, so that a
// process that was stopped does not take its own absence for its peers'.
package transport
