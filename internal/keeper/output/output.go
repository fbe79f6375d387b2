//go:build unix

// Package output writes what processes print to their logs: a line of JSON for each line. A process
// never waits for the disk: lines that have no room are dropped, and the log says how many.
package output

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/logline"
)

// Bounds of logs.
const (
	maxLine  = logline.MaxLine // longer lines are cut
	maxLines = 4096            // that wait for the disk; more are dropped and counted
	maxBytes = 1 << 20         // the same in bytes
	maxFile  = 16 << 20        // a longer file is rotated
	oldFiles = 2               // that are kept beside the current one
	maxPipe  = 1 << 20         // what a pipe holds at most, of what a process wrote just before its end
)

// Stream is a pipe that a process prints to.
type Stream struct {
	File  *os.File
	Begun []byte // what was read of its next line before
}

// Output is what a process prints, on its way to its log: lines of JSON, one for each line. Many
// processes print nothing for long: of these it is nothing but who waits for the first word.
type Output struct {
	name   string
	key    string // of lines that are entries of a log
	log    *Log
	before <-chan struct{} // see Collect

	streams         [2]*stream
	begun           [2][]byte // set by the readers when they end
	readers, writer sync.WaitGroup

	mu      sync.Mutex // guards what follows
	lines   [][]byte   // that wait for the disk; empty unless a goroutine writes them, as writing says
	bytes   int        // in lines
	writing bool
	dropped int64 // lines that are missing, and of which lines does not say so yet
}

// Collect begins to write what comes from both streams to a log. Lines that begin with the key are
// entries already (see logline.Own); all others are those of the given node. A process that has left the
// log has its last words first.
func Collect(log *Log, node, key string, stdout, stderr Stream) *Output {
	o := &Output{name: node, key: key, log: log, before: log.leaving()}
	for i, s := range []Stream{stdout, stderr} {
		level := []string{"stdout", "stderr"}[i]
		o.streams[i] = &stream{file: s.File}
		source := io.MultiReader(bytes.NewReader(s.Begun), o.streams[i])
		o.readers.Go(func() { o.begun[i] = o.read(source, level) })
	}
	return o
}

// Finish is called when the process has ended. It waits until everything that the process wrote is in
// the log, and closes the streams. It does not wait for other processes that hold them open.
func (o *Output) Finish() {
	o.stop()
	for _, s := range o.streams {
		s.file.Close()
	}
}

// Pause stops reading, and returns what was read of the next lines once all lines before them are in
// the log. What the process prints from then on stays in the pipes.
func (o *Output) Pause() (begun [2][]byte) {
	for _, s := range o.streams {
		s.paused.Store(true)
	}
	o.stop()
	return o.begun
}

func (o *Output) stop() {
	for _, s := range o.streams {
		_ = s.file.SetReadDeadline(time.Unix(1, 0)) // pipes have deadlines
	}
	o.readers.Wait()
	o.end()
}

// end waits until everything is written. Nothing is added any more.
func (o *Output) end() {
	o.writer.Wait()
	if o.before != nil {
		<-o.before // who comes next writes behind that one as well
	}
	if o.dropped > 0 {
		o.log.write(o.name, o.missing(o.dropped))
		o.dropped = 0
	}
}

// stream reads a pipe until its end, or until somebody sets a deadline that has passed. Then it reads
// what is in the pipe at that time, and does not wait for more, unless it is paused.
type stream struct {
	file   *os.File
	paused atomic.Bool
	last   bool // what the pipe holds is all that is wanted
	left   int  // bytes that it may still hold
}

var errPaused = errors.New("what is in the pipe is read by somebody else")

func (s *stream) Read(p []byte) (int, error) {
	if !s.last {
		n, err := s.file.Read(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if s.paused.Load() {
			return 0, errPaused
		}
		s.last, s.left = true, maxPipe
		if err := s.file.SetReadDeadline(time.Time{}); err != nil {
			return 0, err
		}
	}

	raw, err := s.file.SyscallConn()
	if err != nil || s.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	failed := raw.Read(func(fd uintptr) bool {
		for n, err = syscall.Read(int(fd), p); err == syscall.EINTR; {
			n, err = syscall.Read(int(fd), p)
		}
		return true // do not wait
	})
	if failed != nil || err != nil || n <= 0 {
		return 0, io.EOF
	}
	s.left -= n
	return n, nil
}

// firstRead is how much of what a process prints first is read: before that, there is no room for lines.
const firstRead = 512

// read takes lines from a stream, and never waits for the disk: the process would. It returns the
// beginning of the line at which it was paused.
func (o *Output) read(r io.Reader, level string) (begun []byte) {
	first := make([]byte, firstRead)
	n, err := r.Read(first)
	if err != nil {
		return nil
	}

	lines := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(first[:n]), r), maxLine)
	for {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, errPaused) {
			return bytes.Clone(text)
		}
		if len(text) == 0 {
			return nil
		}

		text, rest := bytes.Clone(text), 0
		for errors.Is(err, bufio.ErrBufferFull) {
			var more []byte
			more, err = lines.ReadSlice('\n')
			rest += len(trim(more))
		}

		o.add(o.line(trim(text), rest, level))
	}
}

// trim removes the end of a line, of either kind.
func trim(line []byte) []byte {
	line, _ = bytes.CutSuffix(line, []byte("\n"))
	line, _ = bytes.CutSuffix(line, []byte("\r"))
	return line
}

// add has a line written, behind a word about those that are missing before it, if there is room.
func (o *Output) add(line []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()

	if o.dropped > 0 && o.put(o.missing(o.dropped)) {
		o.dropped = 0
	}
	if o.dropped > 0 || !o.put(line) {
		o.dropped++
	}
}

// put hands a line on to be written, and reports whether there was room for it; the mutex is held.
func (o *Output) put(line []byte) bool {
	if len(o.lines) == maxLines || o.bytes+len(line) > maxBytes {
		return false
	}

	o.lines = append(o.lines, line)
	o.bytes += len(line)
	if !o.writing {
		o.writing = true
		o.writer.Go(o.write)
	}
	return true
}

func (o *Output) missing(lines int64) []byte {
	return entry(o.name, "warn", logline.Dropped(lines, "lines"), 0)
}

// line makes a line of the log of a line of output, of which some bytes are missing at its end.
func (o *Output) line(text []byte, cut int, level string) []byte {
	if cut == 0 {
		if line, ok := logline.Own(text, o.key); ok {
			return line
		}
	}
	return entry(o.name, level, string(text), cut)
}

func entry(node, level, msg string, cut int) []byte {
	return logline.Append(nil, &logline.Entry{Time: time.Now(), Level: level, Msg: msg, Node: node, Cut: cut}, "")
}

// write writes lines until there are no more.
func (o *Output) write() {
	if o.before != nil {
		<-o.before
	}
	for line := o.next(); line != nil; line = o.next() {
		o.log.write(o.name, line)
	}
}

// next takes the line that is to be written next. If there is none it returns nil, which ends writing.
func (o *Output) next() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.lines) == 0 {
		o.lines, o.writing = nil, false
		return nil
	}

	line := o.lines[0]
	o.lines[0] = nil
	o.lines = o.lines[1:]
	o.bytes -= len(line)
	return line
}

// Logs are the log files that are open. The zero value has none. It is safe for concurrent use.
type Logs struct {
	mu    sync.Mutex // guards files, and the users of each
	files map[string]*Log
	limit int64 // of the size of a file that is rotated; default maxFile
}

// Open returns the log in a file. Whoever opens it closes it; several who have it open write to one log.
func (l *Logs) Open(path string) *Log {
	l.mu.Lock()
	defer l.mu.Unlock()

	log, open := l.files[path]
	if !open {
		log = &Log{logs: l, path: path, limit: cmp.Or(l.limit, maxFile)}
		if l.files == nil {
			l.files = map[string]*Log{}
		}
		l.files[path] = log
	}
	log.users++

	return log
}

// Close closes a log for one of its users.
func (l *Log) Close() {
	l.logs.mu.Lock()
	defer l.logs.mu.Unlock()

	l.users--
	if l.users == 0 {
		delete(l.logs.files, l.path)
		l.close()
	}
}

// Warn adds a line of the given node that is not one of its own.
func (l *Log) Warn(node, text string) { l.write(node, entry(node, "warn", text, 0)) }

// Leave takes note that a process has ended. The channel is closed when its last words are written, and who
// comes then writes behind them.
func (l *Log) Leave(written <-chan struct{}) { l.left.Store(&written) }

func (l *Log) leaving() <-chan struct{} {
	if left := l.left.Load(); left != nil {
		return *left
	}
	return nil
}

// Lost returns how many lines could not be written since the log was opened, as on a full disk.
func (l *Log) Lost() int64 { return l.lost.Load() }

// Log is a file that is rotated. One that cannot be written loses lines, not the process: how
// many is said once lines can be written again.
type Log struct {
	logs  *Logs
	path  string
	limit int64 // of its size, unless one line is longer
	users int   // guarded by the mutex of logs

	left atomic.Pointer[<-chan struct{}] // closed when the last words of the process that has left are written

	lost atomic.Int64 // lines that could not be written, since the file was opened

	mu     sync.Mutex // guards what follows: processes of one name write to one log
	file   *os.File
	size   int64
	broken bool  // the file ends within a line
	unsaid int64 // lines that could not be written since the last one that was
	why    error // the last of them could not
}

// write writes a line of a process.
func (l *Log) write(node string, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.unsaid > 0 {
		text := fmt.Sprintf("%d lines lost: the log could not be written: %v", l.unsaid, l.why)
		line = append(entry(node, "warn", text, 0), line...)
	}
	if err := l.append(line); err != nil {
		l.lost.Add(1)
		l.unsaid++
		l.why = err
		return
	}
	l.unsaid = 0
}

// append writes lines, on a line of their own.
func (l *Log) append(lines []byte) error {
	if l.file == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	if l.size > 0 && l.size+int64(len(lines)) > l.limit {
		l.rotate()
		if err := l.open(); err != nil {
			return err
		}
	}
	if l.broken {
		lines = append([]byte("\n"), lines...)
	}

	n, err := l.file.Write(lines)
	l.size += int64(n)
	if n > 0 {
		l.broken = lines[n-1] != '\n'
	}
	return err
}

// open opens the file, which an earlier keeper may have left in the middle of a line.
func (l *Log) open() error {
	const how = os.O_RDWR | os.O_APPEND | os.O_CREATE
	file, err := os.OpenFile(l.path, how, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // it is the first of the folder, or that has been removed
		_ = os.MkdirAll(filepath.Dir(l.path), 0o700)
		file, err = os.OpenFile(l.path, how, 0o600)
	}
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}

	l.file, l.size, l.broken = file, info.Size(), false
	if l.size > 0 {
		last := make([]byte, 1)
		_, err := file.ReadAt(last, l.size-1)
		l.broken = err == nil && last[0] != '\n'
	}
	return nil
}

// rotate makes room for a new file. If the file cannot be moved, lines go on to be added to it.
func (l *Log) rotate() {
	l.close()
	for n := oldFiles; n > 0; n-- {
		from := l.path
		if n > 1 {
			from = fmt.Sprintf("%s.%d", l.path, n-1)
		}
		_ = os.Rename(from, fmt.Sprintf("%s.%d", l.path, n))
	}
	l.size = 0
}

func (l *Log) close() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}
