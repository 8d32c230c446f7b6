// Package chaos breaks connections between nodes, for tests of what happens then.
//
// A [Forwarder] stands between a node that dials and one that listens, and passes bytes both
// ways until it is told to cut. It cuts all connections at once ([Forwarder.Cut]), or again and
// again at random byte offsets ([Forwarder.Storm]), or once, right before, in the middle of or
// right after a record that the test names ([Cutter]). Connections that are made later pass.
//
// All that the package knows of a connection is which end dialled. So directions are called
// [Up], from the end that dialled, and [Down]. It runs on any network. On one in memory it runs
// on virtual time in a testing/synctest bubble.
package chaos
