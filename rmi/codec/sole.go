package codec

// SoleBytes returns the string (class str) or binary data that is the only argument in a body. ok
// is false for any other body; use the Decoder for those. SoleBytes spares messages of plain bytes
// the work of a Decoder.
func SoleBytes(body []byte, str bool) (b []byte, ok bool) {
	if len(body) < 2 || body[0] != 0x91 { // an array of one
		return nil, false
	}
	h, ok := readHead(body[1:])
	want := classBinary
	if str {
		want = classString
	}
	if !ok || h.class != want || h.n != uint64(len(body)-1-h.size) {
		return nil, false
	}
	return body[1+h.size:], true
}
