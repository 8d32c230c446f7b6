package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text safe for a terminal. What cannot be printed becomes U+FFFD: escapes and other
// control characters, marks that turn the direction of writing, bytes that are no UTF-8. A tab or
// an end of line becomes a space.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case unicode.IsPrint(r), r == '\u200d', r == '\u200c': // the joiners, without which emoji fall apart
			return r
		}
		return utf8.RuneError
	}, text)
}

// validName reports whether s can be the name of a person or a room.
func validName(s string) bool {
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > 32 {
		return false
	}
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.", r) {
			return false
		}
	}
	return true
}

// wrap cuts clean text into pieces that fit into width columns, at spaces where it can. There is at
// least one piece.
func wrap(text string, width int) []string {
	var pieces []string
	for {
		fits, space, columns := len(text), -1, 0
		for i, r := range text {
			if r == ' ' {
				space = i // even just behind the width: the space goes
			}
			if columns += runeWidth(r); columns > width && i > 0 {
				fits = i
				break
			}
		}
		if fits == len(text) {
			return append(pieces, text)
		}
		if space > 0 {
			pieces, text = append(pieces, text[:space]), text[space+1:]
		} else {
			pieces, text = append(pieces, text[:fits]), text[fits:]
		}
	}
}

// runeWidth is the number of columns that a rune takes, or one more: pieces may be too short, but
// not too long.
func runeWidth(r rune) int {
	switch {
	case unicode.Is(unicode.Mn, r), r == '\u200d', r == '\u200c':
		return 0
	case r >= 0x1100:
		return 2
	}
	return 1
}
