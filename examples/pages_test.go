package examples

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// pages are those whose names are checked.
var pages = []string{".github/ARCHITECTURE.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"}

var (
	codeBlock  = regexp.MustCompile("(?s)```.*?```")
	span       = regexp.MustCompile("`([^`]+)`")
	declaredIn = regexp.MustCompile("((?:`[\\w.]+`(?:,| and|, and)\\s+)*`[\\w.]+`)\\s+in\\s+`([\\w/.]+\\.go)`")
	isPath     = regexp.MustCompile(`^[\w.-]+(/[\w.-]+)+$|^[\w.]+\.(md|go)$`)
	isName     = regexp.MustCompile(`^\w+(\.\w+)*$`)
	isFlag     = regexp.MustCompile(`^-[a-z][a-z-]*$`)
	testName   = regexp.MustCompile(`\b(Test|Fuzz)\w+|-bench (\w+)`)
	// doc.go of package rmi writes a file's path as it is from the root, or from rmi/transport.
	docFile   = regexp.MustCompile(`[\w/.]+\.go\b`)
	docName   = regexp.MustCompile(`\b[A-Za-z]\w*\.[A-Za-z]\w*\b`)
	docPlaced = regexp.MustCompile(`((?:` + docWord + `(?:,| and|, and) )*[\w.]+) in ([\w/]+\.go)\b`)
)

// docWord is a method, or a function whose name begins with a capital. The word before "in x.go" is
// a function however it begins. Other words in small letters are not names.
const docWord = `(?:[A-Za-z]\w*\.[A-Za-z]\w*|[A-Z]\w*)`

// source is what the module's Go files declare.
type source struct {
	in    map[string]map[string]bool // file → function, Type.Method, Type, Type.Field, variable
	tests map[string]bool            // functions of tests
}

func (s *source) anywhere(name string) bool {
	for _, d := range s.in {
		if d[name] {
			return true
		}
	}
	return false
}

// inPackage reports whether pkg.Name is declared in a package whose folder has the name pkg.
func (s *source) inPackage(pkg, name string) bool {
	for file, d := range s.in {
		if d[name] && filepath.Base(filepath.Dir(file)) == pkg {
			return true
		}
	}
	return false
}

func readSource(t *testing.T) *source {
	t.Helper()
	s := &source{map[string]map[string]bool{}, map[string]bool{}}
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == ".git" || e.Name() == "testdata"):
			return filepath.SkipDir
		case e.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		d := map[string]bool{}
		for _, decl := range f.Decls {
			declared(decl, d)
		}
		if strings.HasSuffix(path, "_test.go") {
			for name := range d {
				s.tests[name] = true
			}
			return nil
		}
		name, err := filepath.Rel("..", path)
		s.in[filepath.ToSlash(name)] = d
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// declared notes the names of a declaration.
func declared(decl ast.Decl, d map[string]bool) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		name := decl.Name.Name
		if decl.Recv != nil {
			name = receiver(decl.Recv.List[0].Type) + "." + name
		}
		d[name] = true
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					d[n.Name] = true
				}
			case *ast.TypeSpec:
				d[spec.Name.Name] = true
				var fields *ast.FieldList
				switch typ := spec.Type.(type) {
				case *ast.StructType:
					fields = typ.Fields
				case *ast.InterfaceType:
					fields = typ.Methods
				default:
					continue
				}
				for _, f := range fields.List {
					for _, n := range f.Names {
						d[spec.Name.Name+"."+n.Name] = true
					}
				}
			}
		}
	}
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// notOurs are words in backticks that are not of this module.
var notOurs = map[string]bool{
	"net.Conn": true, "net.Listener": true, "ClientAuth": true, "proof:": true, "figure:": true,
	"Insecure": true, "TryWrite": true, "rmi/transport: Wait for the reader before close": true,
}

// TestPagesNameWhatExists looks at everything in backticks on the pages for developers:
// files, packages, commands and names are there, and a function is in the file that
// stands behind it.
func TestPagesNameWhatExists(t *testing.T) {
	s := readSource(t)
	for _, page := range pages {
		text, err := os.ReadFile(filepath.Join("..", page))
		if err != nil {
			t.Fatal(err)
		}
		prose := codeBlock.ReplaceAllString(string(text), "")
		placed := 0
		for _, m := range declaredIn.FindAllStringSubmatch(prose, -1) {
			for _, name := range span.FindAllStringSubmatch(m[1], -1) {
				if placed++; !isPath.MatchString(name[1]) && !s.in[m[2]][name[1]] {
					t.Errorf("%s: %s is not in %s", page, name[1], m[2])
				}
			}
		}
		if strings.HasSuffix(page, "ARCHITECTURE.md") && placed < 50 {
			t.Errorf("%s: only %d functions stand with their files", page, placed)
		}
		for _, m := range span.FindAllStringSubmatch(prose, -1) {
			what := strings.ReplaceAll(m[1], `\|`, "|") // in a table
			if problem := s.missing(what); problem != "" {
				t.Errorf("%s: `%s`: %s", page, what, problem)
			}
		}
	}
}

// missing says what is wrong with what stands in backticks.
func (s *source) missing(what string) string {
	exists := func(path string) bool { _, err := os.Stat(filepath.Join("..", path)); return err == nil }
	first, rest, _ := strings.Cut(what, ".")
	switch {
	case notOurs[what]:
	case strings.Contains(what, "go ") && strings.Contains(what, " "):
		return s.command(what, exists)
	case exists(strings.TrimPrefix(what, "gormi/")):
	case isPath.MatchString(what):
		return "there is no such file or package"
	case isFlag.MatchString(what):
		if !flagOfRegistry(strings.TrimPrefix(what, "-")) {
			return "rmiregistry has no such flag"
		}
	case !isName.MatchString(what):
		return "this test does not know what it is"
	case !s.anywhere(what) && !s.inPackage(first, rest) && !s.exported(first, rest):
		return "nothing of that name is declared"
	}
	return ""
}

// exported reports whether package gormi/pkg has name, which may be an alias.
func (s *source) exported(pkg, name string) bool {
	out, err := exec.Command("go", "doc", "gormi/"+pkg, name).CombinedOutput()
	return err == nil && len(out) > 0
}

func flagOfRegistry(name string) bool {
	text, err := os.ReadFile("../cmd/rmiregistry/options.go")
	return err == nil && strings.Contains(string(text), `"`+name+`"`)
}

// command checks the folders, tools and tests that a command names.
func (s *source) command(line string, exists func(string) bool) string {
	dir := ""
	if rest, ok := strings.CutPrefix(line, "cd "); ok {
		dir, line, _ = strings.Cut(rest, " && ")
		if !exists(dir) {
			return "there is no folder " + dir
		}
	}
	for _, word := range strings.Fields(line) {
		word = strings.Trim(word, "';")
		if path, ok := strings.CutPrefix(word, "./"); ok && path != "..." && !exists(filepath.Join(dir, path)) {
			return "there is no " + word
		}
	}
	if _, tool, ok := strings.Cut(line, "go tool "); ok {
		tool, _, _ = strings.Cut(tool, " ")
		mod, err := os.ReadFile("../go.mod")
		if err != nil || !regexp.MustCompile(`(?m)^\t\S+/`+tool+`$`).Match(mod) {
			return "go.mod has no tool " + tool
		}
	}
	for _, m := range testName.FindAllStringSubmatch(line, -1) {
		prefix := m[0]
		if m[2] != "" {
			prefix = "Benchmark" + m[2]
		}
		found := false
		for name := range s.tests {
			found = found || strings.HasPrefix(name, prefix)
		}
		if !found {
			return "no test, fuzzer or benchmark begins with " + prefix
		}
	}
	return ""
}

// mostFiles is how many files a call may cross.
const mostFiles = 20

// TestDocPlacesItsFunctions looks at the way of a call in rmi/doc.go. Every
// function there stands with its file, as "F in x.go" or "F and G in x.go", and is declared in
// that file. Every file stands with a function. The numbered steps cross no more files than
// a call may, and in each of the four parts of the way a file is entered once.
func TestDocPlacesItsFunctions(t *testing.T) {
	text, err := os.ReadFile("../rmi/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, way, ok := strings.Cut(string(text), "// How a call travels\n")
	if !ok {
		t.Fatal("rmi/doc.go does not say how a call travels")
	}
	s := readSource(t)
	crossed, parts, functions := map[string]bool{}, 0, 0
	for _, part := range strings.Split(way, "\n//\n") {
		numbered := regexp.MustCompile(`^//\s+\d+\. `).MatchString(strings.TrimSpace(part))
		part = strings.Join(strings.Fields(strings.ReplaceAll(part, "//", " ")), " ")
		placed, entered := map[string]bool{}, map[string]bool{}
		for _, m := range docPlaced.FindAllStringSubmatch(part, -1) {
			file := m[2]
			if !strings.Contains(file, "/") {
				file = "rmi/transport/" + file
			}
			for _, name := range regexp.MustCompile(`\w[\w.]*\w`).FindAllString(strings.ReplaceAll(m[1], " and", ","), -1) {
				functions++
				placed[name] = true
				if !s.in[file][name] {
					t.Errorf("%s is not in %s", name, file)
				}
			}
			if numbered && entered[file] {
				t.Errorf("%s is entered twice in: %.60s...", file, part)
			}
			placed[m[2]], entered[file] = true, true
			if numbered {
				crossed[file] = true
			}
		}
		for _, name := range docName.FindAllString(part, -1) {
			if !placed[name] && !strings.HasSuffix(name, ".go") {
				t.Errorf("%s stands without its file", name)
			}
		}
		for _, file := range docFile.FindAllString(part, -1) {
			if !placed[file] {
				t.Errorf("%s stands without a function", file)
			}
		}
		if numbered {
			parts++
		}
	}
	said := regexp.MustCompile(`crosses (\d+) files`).FindStringSubmatch(way)
	if len(said) < 2 || said[1] != strconv.Itoa(len(crossed)) || len(crossed) > mostFiles {
		t.Errorf("a call crosses %d files; it is said to cross %q, and may cross %d", len(crossed), said, mostFiles)
	}
	if parts != 4 || functions < 40 {
		t.Errorf("found %d parts of the way with %d functions", parts, functions)
	}
}

// TestLivesPlaceTheirFunctions looks at the lives of a call, an event, a reference and a session:
// each step names a function with its file. (TestPagesNameWhatExists looks for it there.)
func TestLivesPlaceTheirFunctions(t *testing.T) {
	text, err := os.ReadFile("../.github/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	lives := strings.Split(string(text), "\n## The life of ")[1:]
	if len(lives) != 4 {
		t.Fatalf("found %d lives", len(lives))
	}
	for _, life := range lives {
		name, _, _ := strings.Cut(life, "\n")
		steps := regexp.MustCompile(`\n\d+\. `).Split(life, -1)[1:]
		if len(steps) < 8 {
			t.Errorf("the life of %s has only %d steps", name, len(steps))
		}
		for i, step := range steps {
			if !declaredIn.MatchString(step) {
				t.Errorf("the life of %s: step %d names no function with its file", name, i+1)
			}
		}
	}
}

// TestReadmeIsForPeople holds it to a length that people read.
func TestReadmeIsForPeople(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > 350 {
		t.Errorf("README.md has %d lines, and may have 350: rmi/bench/RESULTS.md and .github/GUIDE.md have room", n)
	}
	for _, command := range []string{"go test ./...", "go run ./examples/tour"} {
		if !strings.Contains(string(text), "\n"+command+" ") {
			t.Errorf("README.md lacks the command %q", command)
		}
	}
	// The few figures there are among those that rmi/bench wrote.
	results, err := os.ReadFile("../rmi/bench/RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, row := range regexp.MustCompile(`(?m)^\| (null|echo64k), .*$`).FindAllString(string(text), -1) {
		rows++
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		work := strings.TrimSuffix(cells[0], ", one core")
		found := false
		for line := range strings.Lines(string(results)) {
			all := strings.HasPrefix(line, "| "+work+" |")
			for _, c := range cells[1:] {
				all = all && strings.Contains(line, "| "+c+" (")
			}
			found = found || all
		}
		if !found {
			t.Errorf("README.md: rmi/bench/RESULTS.md has no row with the figures of %q", row)
		}
	}
	if rows == 0 {
		t.Error("README.md shows no figures")
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile("[^a-z0-9 -]")
)

// TestLinksLead follows the links of all pages to files, and to headings in them.
func TestLinksLead(t *testing.T) {
	found := 0
	for _, page := range append([]string{"README.md", ".github/GUIDE.md", "examples/README.md", "rmi/bench/RESULTS.md"}, pages...) {
		text, err := os.ReadFile(filepath.Join("..", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(codeBlock.ReplaceAllString(string(text), ""), -1) {
			found++
			to := filepath.Join("..", filepath.Dir(page), m[1])
			if m[1] == "" {
				to = filepath.Join("..", page)
			}
			there, err := os.ReadFile(to)
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			leads := m[2] == ""
			for _, h := range heading.FindAllStringSubmatch(string(there), -1) {
				leads = leads || m[2] == "#"+strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")
			}
			if !leads {
				t.Errorf("%s: %s has no heading %s", page, to, m[2])
			}
		}
	}
	if found < 15 {
		t.Errorf("found only %d links", found)
	}
}
