// Package multicast sends one value to many receivers at many nodes. It encodes the value once,
// sends it once to each node, and decodes it once there.
//
// It is for packages that build on it, as package callback does with events. A node's Exchange
// comes from its port (rmi.Node.Port).
//
// Codec.Packet encodes a value. Peer.Send writes it, with the list of its receivers at the
// peer, to a stream of the connection. There is one stream for each direction, opened for the
// first packet. Its window makes a fast sender wait. Packets to one peer arrive in order. What
// Send accepted is lost only with the connection.
//
// At the other node a Receiver gets the packet (Exchange.Register). Codec.Value decodes its
// value once for all receivers.
//
// The layout of packets is specified in package rmi/wire.
package multicast
