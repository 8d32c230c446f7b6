// Package rmitest is a network in memory for tests of programs that use package rmi. Nodes find
// each other by host names. Connections can be cut, delayed and partitioned. Nothing of the network
// outlives the test.
//
//	network := rmitest.New(t)
//	owner, caller := network.Node(), network.Client()
//	...
//	network.Cut(owner, caller)
//
// When the test ends, the network closes its nodes. It fails the test if goroutines that serve or
// make calls are left, for example that of a method that ignores its context. It knows the test's
// own goroutines by the profiler label "rmitest". [New] gives this label to the test's goroutine,
// and the goroutines that it starts inherit it. Tests may run in parallel.
//
// A network made inside a testing/synctest bubble runs on the bubble's time: a deadline of a
// minute, or a delay, costs nothing.
// deadline of a minute, or a delay, costs nothing.
package rmitest
