package main

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// Java RMI: its server and client are the programs in folder java, compiled
// when they are first needed.

//go:embed java/*.java
var javaSource embed.FS

// javaWarmUp is how long a work is warmed up: on one core, compiling its code takes
// seconds. -quick does not wait, and says so.
const javaWarmUp = 3 * time.Second

// javaMissing says why Java RMI cannot run here.
func javaMissing() string {
	for _, tool := range []string{"java", "javac"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Sprintf("%s was not found: install a JDK (Debian: apt-get install default-jdk-headless)", tool)
		}
	}
	return ""
}

// javaClasses is the folder of the compiled programs.
var javaClasses = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "bench-java"); err != nil {
		return "", err
	}
	javaDir = dir
	if err := os.CopyFS(dir, javaSource); err != nil {
		return "", err
	}
	sources, err := filepath.Glob(filepath.Join(dir, "java", "*.java"))
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("javac", append([]string{"-nowarn", "-encoding", "UTF-8", "-d", dir}, sources...)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("javac: %w\n%s", err, out)
	}
	return dir, nil
})

var javaDir string // made by javaClasses

// javaClean removes what javaClasses made.
func javaClean() {
	if javaDir != "" {
		os.RemoveAll(javaDir)
	}
}

func javaCommand(role string, args ...string) (*exec.Cmd, error) {
	dir, err := javaClasses()
	if err != nil {
		return nil, err
	}
	main := map[string]string{"server": "Server", "client": "Client"}[role]
	return exec.Command("java", append([]string{"-cp", dir, "-Djava.rmi.server.hostname=127.0.0.1", main}, args...)...), nil
}
