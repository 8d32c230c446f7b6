package wire

import "hash/fnv"

// MethodID identifies a method on the wire. It is the 32-bit FNV-1a hash of the method's name. 0
// stands for "describe yourself" and is no method's id.
type MethodID uint32

// DescribeID asks an object for its interface's description.
const DescribeID MethodID = 0

// MethodIDOf returns the hash of a method's name.
func MethodIDOf(name string) MethodID {
	h := fnv.New32a()
	h.Write([]byte(name))
	return MethodID(h.Sum32())
}
