package policy

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSize is the longest text of a policy, in bytes.
const maxSize = 16 << 20

// Error says what is wrong with a policy, and where.
type Error struct {
	File         string
	Line, Column int // from 1; a column is a character
	Msg          string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Msg)
}

// defaultText is the policy of a registry that was given none.
const defaultText = `allow @local all                   *
allow @known bind,lookup,list,watch *
`

var byDefault = must(Parse("the default policy", defaultText))

func must(p *Policy, err error) *Policy {
	if err != nil {
		panic(err)
	}
	return p
}

// Default returns the policy of a registry that was given none.
func Default() *Policy { return byDefault }

// Load reads the policy in a file.
func Load(file string) (*Policy, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	return Parse(file, string(text))
}

// Parse reads a policy. file is the name of the text, for errors, which are of type *Error.
func Parse(file, text string) (*Policy, error) {
	x := parser{
		file:   file,
		policy: &Policy{subjects: make(map[string][]subject), exact: make(map[hash]*scope), prefixes: make(map[hash]*scope), some: make(map[subject]Op)},
		groups: map[string]subject{"@everyone": everyone, "@known": known, "@local": local},
		own:    make(map[string]subject),
		next:   firstSubject,
		scopes: make(map[string]*scope),
	}
	x.line = 1
	if len(text) > maxSize {
		return nil, x.errorf(word{at: 1}, "a policy has at most %d bytes", maxSize)
	}
	// Groups first: a rule may use one that is defined below it.
	var rules [][]word
	for line := range strings.Lines(text) {
		words, err := x.words(strings.TrimRight(line, "\r\n"))
		if err != nil {
			return nil, err
		}
		switch {
		case len(words) == 0:
		case words[0].is("group"):
			err = x.group(words)
		case words[0].is("allow"), words[0].is("deny"):
			rules = append(rules, words)
		default:
			err = x.errorf(words[0], "unknown word %.64q: a line begins with allow, deny or group", words[0].text)
		}
		if err != nil {
			return nil, err
		}
		x.line++
	}
	if len(rules) == 0 {
		x.line = 1
		return nil, x.errorf(word{at: 1}, "there is no rule, so nobody could do anything: write \"allow @local all *\", or more")
	}
	for _, words := range rules {
		if err := x.rule(words); err != nil {
			return nil, err
		}
	}
	x.policy.index(x.scopes)
	return x.policy, nil
}

// word is a word of a line.
type word struct {
	text   string
	line   int
	at     int  // its column
	quoted bool // so it is a principal, whatever it looks like
}

func (w word) is(keyword string) bool { return !w.quoted && w.text == keyword }

type parser struct {
	file   string
	line   int
	policy *Policy
	groups map[string]subject
	own    map[string]subject // of principals that rules name
	next   subject
	scopes map[string]*scope
}

func (x *parser) errorf(w word, format string, a ...any) error {
	line := w.line
	if line == 0 {
		line = x.line
	}
	return &Error{File: x.file, Line: line, Column: w.at, Msg: fmt.Sprintf(format, a...)}
}

// words cuts a line into words.
func (x *parser) words(line string) (words []word, err error) {
	for rest, at := line, 1; ; {
		trimmed := strings.TrimLeft(rest, " \t")
		at += len(rest) - len(trimmed) // blanks are of one byte
		rest = trimmed
		if rest == "" || rest[0] == '#' {
			return words, nil
		}
		w := word{line: x.line, at: at}
		var size int
		if rest[0] == '"' {
			w.quoted = true
			w.text, size, err = x.quoted(w, rest)
		} else {
			size = strings.IndexAny(rest, " \t")
			if size < 0 {
				size = len(rest)
			}
			w.text = rest[:size]
			if i := strings.IndexByte(w.text, '"'); i >= 0 {
				w.at += utf8.RuneCountInString(w.text[:i])
				err = x.errorf(w, "a quotation mark stands at the beginning of a word, or not at all")
			}
		}
		switch {
		case err != nil:
			return nil, err
		case !utf8.ValidString(w.text):
			return nil, x.errorf(w, "this is not UTF-8")
		}
		for i, r := range w.text {
			if !unicode.IsPrint(r) {
				w.at += utf8.RuneCountInString(w.text[:i])
				return nil, x.errorf(w, "a character that cannot be printed: %q", r)
			}
		}
		words = append(words, w)
		at += utf8.RuneCountInString(rest[:size])
		rest = rest[size:]
	}
}

// quoted reads a word in quotation marks, with which rest begins, and returns how long that is.
func (x *parser) quoted(w word, rest string) (text string, size int, err error) {
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\\' && i+1 < len(rest) && (rest[i+1] == '"' || rest[i+1] == '\\'):
			i++
			b.WriteByte(rest[i])
		case c == '\\':
			return "", 0, x.errorf(w, `in quotation marks a backslash is written \\, and a quotation mark \"`)
		case c == '"' && i+1 < len(rest) && rest[i+1] != ' ' && rest[i+1] != '\t':
			return "", 0, x.errorf(w, "a blank must follow the second quotation mark")
		case c == '"' && b.Len() == 0:
			return "", 0, x.errorf(w, "nothing stands in the quotation marks")
		case c == '"':
			return b.String(), i + 1, nil
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, x.errorf(w, "the second quotation mark is missing")
}

// group reads a line that gives principals to a group.
func (x *parser) group(words []word) error {
	if len(words) < 3 {
		return x.errorf(words[len(words)-1], "a group is written: group @NAME PRINCIPAL...")
	}
	name := words[1]
	if name.quoted || len(name.text) < 2 || name.text[0] != '@' {
		return x.errorf(name, "the name of a group begins with @: group @NAME PRINCIPAL...")
	}
	g, ok := x.groups[name.text]
	switch {
	case ok && g < firstSubject:
		return x.errorf(name, "%s is there already, and cannot be changed", name.text)
	case !ok:
		g = x.subject()
		x.groups[name.text] = g
	}
	for _, w := range words[2:] {
		if !w.quoted && w.text[0] == '@' {
			return x.errorf(w, "a group has principals in it, and no groups: %.64q", w.text)
		}
		x.policy.subjects[w.text] = appendNew(x.policy.subjects[w.text], g)
	}
	return nil
}

// rule reads a line that allows or denies.
func (x *parser) rule(words []word) error {
	if len(words) < 4 {
		return x.errorf(words[len(words)-1], "the line is not complete: a rule is written: %s WHO WHAT NAME...", words[0].text)
	}
	r := rule{line: words[0].line, text: text(words)}
	who := words[1]
	var ok bool
	switch {
	case !who.quoted && who.text[0] == '@':
		if r.subject, ok = x.groups[who.text]; !ok {
			return x.errorf(who, "unknown group %.64q: there is no line \"group %.64s PRINCIPAL...\"", who.text, who.text)
		}
	default:
		if r.subject, ok = x.own[who.text]; !ok {
			r.subject = x.subject()
			x.own[who.text] = r.subject
			x.policy.subjects[who.text] = append(x.policy.subjects[who.text], r.subject)
		}
	}
	what := words[2]
	for s := range strings.SplitSeq(what.text, ",") {
		op, err := ParseOp(s)
		if err != nil || what.quoted {
			return x.errorf(what, "unknown word %.64q: want one or more of %s, with commas between them, or all", s, strings.Join(opNames, ", "))
		}
		r.ops |= op
		what.at += utf8.RuneCountInString(s) + 1
	}
	for _, w := range words[3:] {
		if why := illegal(w); why != "" {
			return x.errorf(w, "%.300q is neither a name nor the beginning of names with a * behind it: %s", w.text, why)
		}
		r.names = append(r.names, w.text)
	}
	x.policy.add(r, words[0].text == "allow", x.scopes)
	return nil
}

// subject makes a subject.
func (x *parser) subject() subject {
	x.next++
	return x.next - 1
}

func appendNew(all []subject, s subject) []subject {
	for _, t := range all {
		if s == t {
			return all
		}
	}
	return append(all, s)
}

// text is a rule as people read it.
func text(words []word) string {
	all := make([]string, len(words))
	for i, w := range words {
		if all[i] = w.text; w.quoted {
			all[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(w.text) + `"`
		}
	}
	return strings.Join(all, " ")
}

// illegal tells why a word is not what rule 5 says, "" if it is. The rules for names are those of
// package registry.
func illegal(w word) string {
	name, prefix := strings.CutSuffix(w.text, "*")
	switch {
	case w.quoted:
		return "it stands in quotation marks"
	case len(name) > maxName:
		return fmt.Sprintf("it has more than %d bytes", maxName)
	}
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.Is(unicode.Nd, r) && !strings.ContainsRune("-_.~@+=,/", r) {
			return fmt.Sprintf("the character %q", r)
		}
	}
	segments := strings.Split(name, "/")
	for i, s := range segments {
		last := i == len(segments)-1 && prefix // it may go on
		switch {
		case s == "" && !last:
			return `a "/" stands at its beginning, at its end, or after another`
		case (s == "." || s == "..") && !last:
			return fmt.Sprintf("the segment %q", s)
		}
	}
	return ""
}
