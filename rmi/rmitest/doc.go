// Package rmitest is a network in memory for tests of programs that use package
// rmi: nodes find each other by host names, connections can be cut, delayed and
// partitioned, and nothing of it outlives the test.
//
//	network := rmitest.New(t)
//	owner, caller := network.Node(), network.Client()
//	...
//	network.Cut(owner, caller)
//
// When the test ends, the network closes its nodes, and fails the test if
// goroutines that serve or make calls are left: those of a method that does not
// heed its context, say. Which goroutines are the test's own is told by the
// profiler label "rmitest", which [New] gives to the test's goroutine and which
// those that it starts inherit. Tests may run in parallel.
//
// A network made inside a testing/synctest bubble runs on the bubble's time: a
// deadline of a minute, or a delay, costs nothing.
package rmitest
