package multicast

import "gormi/rmi/transport"

// LinkOf returns a peer's connection, for tests that write on it what no Peer does.
func LinkOf(p *Peer) *transport.Link { return p.link }

// Counts counts the references of a packet for a number of frames to a peer. undo undoes that.
func Counts(packet *Packet, to *Peer, frames int) (undo func(), err error) {
	_, err = packet.table(to, frames)
	return func() { packet.untable(to, frames) }, err
}
