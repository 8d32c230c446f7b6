// Package chaos breaks connections between nodes, for tests of what a broken
// connection means.
//
// A [Forwarder] stands between a node that dials and one that listens, and
// passes bytes both ways, until it is told to cut: all connections at once
// ([Forwarder.Cut]), again and again at random byte offsets ([Forwarder.Storm]),
// or once, right before, in the middle of or right after a record that the test
// names ([Cutter]). Connections that are made later pass.
//
// Which end of a connection dialled is all that the package knows of them, so
// directions are called [Up], from who dialled, and [Down]. It runs on any
// network, in memory too, and then on virtual time in a testing/synctest bubble.
package chaos
