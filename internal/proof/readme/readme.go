// Package readme reads what the repository's Markdown files promise, so that tests
// can hold the repository to it.
package readme

import (
	"crypto/rand"
	"encoding/base64"
	"os"
	"regexp"
	"strings"
)

// A Block is a fenced block of a Markdown text.
type Block struct {
	Line     int // of the opening fence
	Language string
	Text     string
}

// Blocks returns the fenced blocks of a Markdown text.
func Blocks(markdown string) []Block {
	var (
		blocks []Block
		open   *Block
	)
	for i, line := range strings.Split(markdown, "\n") {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open == nil:
			open = &Block{Line: i + 1, Language: strings.TrimSpace(fence)}
		case isFence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.Text += line + "\n"
		}
	}
	return blocks
}

// Programs returns the Go blocks that are whole programs.
func Programs(markdown string) []Block {
	var programs []Block
	for _, b := range Blocks(markdown) {
		if b.Language == "go" && strings.Contains(b.Text, "package main\n") && strings.Contains(b.Text, "func main()") {
			programs = append(programs, b)
		}
	}
	return programs
}

// Output returns the lines that a program's "// Output:" comments promise, in
// order. As in an Example, they stand behind the colon or in the comment lines that
// follow.
func Output(program string) []string {
	var (
		lines  []string
		inside bool
	)
	for line := range strings.SplitSeq(program, "\n") {
		code, comment, _ := strings.Cut(line, "//")
		comment = strings.TrimSpace(comment)
		inside = inside && strings.TrimSpace(code) == "" && comment != ""
		if first, ok := strings.CutPrefix(comment, "Output:"); ok {
			inside, comment = true, strings.TrimSpace(first)
		}
		if inside && comment != "" {
			lines = append(lines, comment)
		}
	}
	return lines
}

// Prints reports whether out has the wanted lines in this order, possibly with
// others between them: a program may also print what differs from run to run.
func Prints(out string, want []string) bool {
	for line := range strings.SplitSeq(out, "\n") {
		if len(want) > 0 && strings.TrimSpace(line) == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// Environment is what the README asks the reader to set before a program runs, in
// the environment of this process.
func Environment() []string {
	key := make([]byte, 32)
	rand.Read(key)
	return append(os.Environ(), "OTP_KEY="+base64.StdEncoding.EncodeToString(key))
}

var codeSpan = regexp.MustCompile("`([^`\n]+)`")

// Commands returns the shell commands of a Markdown text: the lines of its shell
// blocks, in a console block those behind a prompt, and code spans that run
// something.
func Commands(markdown string) []string {
	var commands []string
	for _, b := range Blocks(markdown) {
		for line := range strings.SplitSeq(b.Text, "\n") {
			command, prompt := strings.CutPrefix(strings.TrimSpace(line), "$ ")
			command, _, _ = strings.Cut(command, " #")
			switch b.Language {
			case "sh", "bash", "shell":
			case "console":
				if !prompt {
					continue
				}
			default:
				continue
			}
			if command != "" && !strings.HasPrefix(command, "#") {
				commands = append(commands, command)
			}
		}
	}
	for _, m := range codeSpan.FindAllStringSubmatch(markdown, -1) {
		if first, _, several := strings.Cut(m[1], " "); several && (first == "go" || first == "make" || strings.HasPrefix(first, "scripts/")) {
			commands = append(commands, m[1])
		}
	}
	return commands
}

var link = regexp.MustCompile(`\]\(([^)\s#]+)(?:#[^)]*)?\)`)

// Links returns the relative targets of a Markdown text's links.
func Links(markdown string) []string {
	var links []string
	for _, m := range link.FindAllStringSubmatch(markdown, -1) {
		if !strings.Contains(m[1], ":") {
			links = append(links, m[1])
		}
	}
	return links
}
