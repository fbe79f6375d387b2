package agent

import (
	"encoding/json"
	"io/fs"
	"os"
	"time"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/server"
)

// Variable makes a program an agent: it has the sum of the program's content.
const Variable = "DIVISI_AGENT"

// keepVariable makes a program keep itself in the state folder, under a name, and end.
const keepVariable = "DIVISI_AGENT_KEEP"

// Bounds.
const (
	maxFile   = 16 << 20 // bytes of a file that is read or written at once
	maxBody   = 48 << 20 // bytes of a request or an answer, which may have a file or the text of an artifact in JSON
	maxGreet  = 64 << 10 // bytes of the first line of an agent
	greetTime = time.Minute
)

// greeting is the first line of what an agent says, or of the script that was to execute it.
type greeting struct {
	Missing string `json:"missing,omitempty"` // the program is not there; the system that the machine has
	Have    int64  `json:"have,omitempty"`    // bytes of the program that have arrived
	Gzip    bool   `json:"gzip,omitempty"`    // it may come compressed
	Damaged bool   `json:"damaged,omitempty"` // it is there, with another content than it should have
	Socket  string `json:"socket,omitempty"`
	Door    string `json:"door,omitempty"` // of the keeper
	Data    string `json:"data,omitempty"` // folder of the program's data
	Logs    string `json:"logs,omitempty"` // folder of all logs

	State   string `json:"state,omitempty"`   // folder
	Runtime string `json:"runtime,omitempty"` // folder of sockets
}

// ask is the body of a request. A verb uses what it needs.
type ask struct {
	Path     string           `json:"path,omitempty"`
	Content  []byte           `json:"content,omitempty"`
	Own      []string         `json:"own,omitempty"` // variables
	User     string           `json:"user,omitempty"`
	Network  string           `json:"network,omitempty"`
	Address  string           `json:"address,omitempty"`
	Question *server.Question `json:"question,omitempty"`

	Listening *server.Listening `json:"listening,omitempty"`
	Sum       string            `json:"sum,omitempty"` // of an artifact
}

// answer is that of a request that has succeeded.
type answer struct {
	Content []byte          `json:"content,omitempty"`
	Text    string          `json:"text,omitempty"`
	Own     []string        `json:"own,omitempty"` // variables
	Program *server.Program `json:"program,omitempty"`
	Info    *info           `json:"info,omitempty"`
	Said    []server.Said   `json:"said,omitempty"`

	Missing []artifact.Missing `json:"missing,omitempty"`
	Used    *artifact.Used     `json:"used,omitempty"` // of an artifact; nil if it has to be sent
}

// info is what there is to know of a file.
type info struct {
	FileName string      `json:"name"`
	Length   int64       `json:"size"`
	Perm     fs.FileMode `json:"mode"`
	Time     time.Time   `json:"time"`
}

var _ fs.FileInfo = info{}

// infoOf returns what is known of a file in a form that can be sent.
func infoOf(i fs.FileInfo) *info {
	return &info{FileName: i.Name(), Length: i.Size(), Perm: i.Mode(), Time: i.ModTime()}
}

func (i info) Name() string       { return i.FileName }
func (i info) Size() int64        { return i.Length }
func (i info) Mode() fs.FileMode  { return i.Perm }
func (i info) ModTime() time.Time { return i.Time }
func (i info) IsDir() bool        { return i.Perm.IsDir() }
func (i info) Sys() any           { return nil }

// say writes the greeting.
func (g greeting) say() error { return json.NewEncoder(os.Stdout).Encode(g) }

// greet reads the first line of what was said.
func greet(line []byte) (g greeting, err error) {
	err = json.Unmarshal(line, &g)
	return g, err
}
