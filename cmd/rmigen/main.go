// Command rmigen writes stubs for remote interfaces. Stubs are proxies and skeletons that need no
// reflection.
//
//	rmigen [-type A,B] [-o file] [-check] [packages]
//
// For each package (by default that of the current folder) it writes one file, <package>_rmi.go,
// next to the sources. The file only has to be linked in: nodes use its stubs on both sides of a
// call. The bytes on the wire stay the same. First make rmigen a tool of your module, by "go get
// -tool gormi/cmd/rmigen". Then write in a source file of the package
//
//	//go:generate go tool rmigen
//
// An interface is remote if every method takes a context.Context first and returns an error last.
// Without -type, each remote interface of the package gets a stub. rmigen warns of an interface
// that is not remote if at least half of its methods have that form. Of a generic interface, only
// instances that have a name in the package get a stub (type IntStore = Store[int]).
//
// With -type, the types that it names get stubs, and must exist; others get none. In both cases the
// func types in their signatures get stubs too. Interfaces and instances without a name get none.
// Their proxies are made at run time, on amd64 and arm64 only.
//
// Comments on a method say how it is called:
//
//	//rmi:idempotent    it may run twice: a call whose reply was lost is made again
//	//rmi:oneway        a call is over once it is sent; the method returns only an error
//	//rmi:timeout 5s    the deadline of calls whose context has none
//
// They are part of the stub. Without a stub they have no effect, and rmigen warns.
//
// Some values are still encoded by reflection: those of types with a codec of their own, data in
// interfaces, and types that the package cannot name.
//
// With -check nothing is written. rmigen fails if a file that it wrote differs from what it would
// write now, or if a file is missing that a //go:generate line asks for. The exit status is 1 then,
// as for every other error, and 2 if the arguments were wrong.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

func main() { os.Exit(run(os.Args[1:], ".", os.Stderr)) }

// run runs the command in a folder. It returns the exit status.
func run(args []string, dir string, stderr io.Writer) int {
	c, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if err := c.run(dir, stderr); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// command is what the command's arguments ask for.
type command struct {
	options
	check    bool
	patterns []string
}

// parse reads the arguments. It also writes to stderr what is wrong with them.
func parse(args []string, stderr io.Writer) (c command, err error) {
	f := flag.NewFlagSet("rmigen", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "usage: rmigen [-type A,B] [-o file] [-check] [packages]")
		f.PrintDefaults()
	}
	f.StringVar(&c.types, "type", "", "interfaces and func types to write stubs for, separated by commas; by default all remote interfaces")
	f.StringVar(&c.output, "o", "", "name of the file to write; by default <package>_rmi.go")
	f.BoolVar(&c.check, "check", false, "write nothing; fail if a file is stale or missing")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	c.types = strings.ReplaceAll(c.types, " ", "")
	c.patterns = f.Args()
	switch why := badName(c.output); {
	case c.output != "" && why != "":
		err = fmt.Errorf("rmigen: -o %s: %s", c.output, why)
	case c.check && c.options != (options{}):
		err = errors.New("rmigen: -check takes no -type and no -o: each file says how it was made")
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
	}
	return c, err
}

// badName says why a package's generated file cannot have this name.
func badName(name string) string {
	switch constraint := constraintInName(name); {
	case filepath.Base(name) != name, !strings.HasSuffix(name, ".go"), strings.ContainsFunc(name, unicode.IsSpace):
		return "want the name of a Go file without a folder and without spaces"
	case strings.HasPrefix(name, "_"), strings.HasPrefix(name, "."):
		return "the go command ignores files with names like this"
	case strings.HasSuffix(name, "_test.go"):
		return "the file would be there in tests only"
	case constraint != nil:
		return fmt.Sprintf("with this name the file would be there for %v only", constraint)
	}
	return ""
}

// run makes the files of the packages, and writes or checks them. If one has an error, none is
// written.
func (c *command) run(dir string, stderr io.Writer) error {
	pkgs, err := load(dir, c.patterns)
	if err != nil && !(c.check && len(pkgs) > 0) { // stale files are told of beside what else is wrong
		return err
	}
	var jobs []job
	var joberr error
	if c.check {
		jobs, joberr = due(pkgs)
	} else {
		jobs, joberr = wanted(pkgs, c.options)
	}
	err = errors.Join(err, joberr)
	for i := range jobs {
		j := &jobs[i]
		var jerr error
		if j.content, jerr = j.generate(); jerr == nil {
			jerr = j.compare()
		}
		err = errors.Join(err, jerr)
		if c.check && jerr == nil && j.differs {
			err = errors.Join(err, j.missed())
		}
		twice := j.twice()
		if c.check {
			err = errors.Join(err, twice)
		} else if twice != nil {
			fmt.Fprintln(stderr, "warning:", twice)
		}
	}
	for _, dead := range withoutStub(jobs) {
		if c.check {
			err = errors.Join(err, dead)
		} else if err == nil {
			fmt.Fprintln(stderr, "warning:", dead)
		}
	}
	if err != nil || c.check {
		return err
	}
	if c.types == "" {
		for _, p := range pkgs {
			for _, miss := range p.nearMisses() {
				fmt.Fprintln(stderr, "warning:", miss)
			}
		}
	}
	return write(jobs)
}

// compare finds out whether the file differs from the existing one. An existing file that rmigen
// did not write is an error.
func (j *job) compare() error {
	old, err := os.ReadFile(j.path)
	switch j.differs = err != nil || !bytes.Equal(old, j.content); {
	case err == nil && !isGenerated(old):
		return fmt.Errorf("%s:1: the file is not rmigen's: it is left as it is; choose another name with -o", relative(j.path))
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// missed returns the error of a file that is not up to date.
func (j *job) missed() error {
	if _, ok := j.generated[j.path]; !ok {
		return fmt.Errorf("%v: there is no file %s yet: run go generate", j.asked, filepath.Base(j.path))
	}
	return fmt.Errorf("%s:1: the file is stale: run go generate", relative(j.path))
}

// twice returns an error if another file of the package has one of the stubs already.
func (j *job) twice() error {
	for _, other := range j.made() {
		if other.path == j.path {
			continue
		}
		for _, name := range other.names {
			if slices.Contains(j.names, name) {
				return fmt.Errorf("%s:1: the file has a stub of %s, as %s has: delete one of them", relative(other.path), name, filepath.Base(j.path))
			}
		}
	}
	return nil
}

// write replaces the files that differ, each in one step, once all are complete.
func write(jobs []job) error {
	complete := map[string]string{} // paths to those of the new files
	for _, j := range jobs {
		if !j.differs {
			continue
		}
		tmp, err := os.CreateTemp(filepath.Dir(j.path), ".rmigen-*")
		if err != nil {
			return err
		}
		defer os.Remove(tmp.Name()) // fails once it was renamed
		_, err = tmp.Write(j.content)
		if err == nil {
			err = tmp.Chmod(0o644)
		}
		if err = errors.Join(err, tmp.Close()); err != nil {
			return err
		}
		complete[j.path] = tmp.Name()
	}
	for path, tmp := range complete {
		if err := os.Rename(tmp, path); err != nil {
			return err
		}
	}
	return nil
}

// relative returns a path relative to the current folder, if that is shorter.
func relative(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if r, err := filepath.Rel(wd, path); err == nil && len(r) < len(path) {
			return r
		}
	}
	return path
}
