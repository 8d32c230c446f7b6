// Package rmi calls methods of objects in other processes: see README.md. The
// rules are at Node, Error, Semantics and Handle.
package rmi
