// Package lossy is a bad link, for tests of what runs over datagrams. It loses, duplicates,
// reorders and delays them, as a seed and [Options] say.
//
// [Network] is a network in memory, with named hosts. [Sockets] are real sockets whose sending
// sides are bad. [Wrap] makes the sending side of your own socket bad. A Network made inside a
// testing/synctest bubble runs on the bubble's time.
//
//	packets := lossy.New(lossy.Options{Seed: 1, Loss: 0.2, Dup: 0.1, Reorder: 0.1})
//	node := rmi.NewNode(&rmi.Options{Network: datagram.Network{Packets: packets}})
//	node.Listen("udp:owner:7000")
//
// The same seed gives the same random decisions in the same order. Which datagram gets which
// decision depends on the scheduler.
package lossy
