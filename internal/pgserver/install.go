package pgserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// minVersion is the oldest PostgreSQL that Cellar is tested with.
const minVersion = 15

// findBinaries finds the newest server's directory of programs. CELLAR_POSTGRES_BIN overrides.
func findBinaries() (string, error) {
	var dirs []string
	if dir := os.Getenv("CELLAR_POSTGRES_BIN"); dir != "" {
		dirs = append(dirs, dir)
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"} {
		found, _ := filepath.Glob(pattern) // the patterns are well-formed
		slices.Reverse(found)              // newest first
		dirs = append(dirs, found...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, dir := range dirs {
		if usable(dir) {
			return dir, nil
		}
	}
	return "", ErrNotInstalled
}

var versionNumber = regexp.MustCompile(`(\d+)(?:\.\d+)*`)

func usable(dir string) bool {
	out, err := exec.Command( //nolint:gosec,noctx // it ends at once; the folders looked in are listed above, or on the PATH
		filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return false
	}
	major, err := strconv.Atoi(string(versionNumber.FindSubmatch(append(out, " 0"...))[1]))
	_, statErr := os.Stat(filepath.Join(dir, "initdb")) //nolint:gosec // the same folders
	return err == nil && statErr == nil && major >= minVersion
}

// account is the user the server runs as; nil for the caller itself.
type account struct{ uid, gid int }

func serverUser() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil {
			return &account{uid: uid, gid: gid}, nil
		}
	}
	return nil, fmt.Errorf("pgserver: PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")
}

// initialise makes the data directory, unless it is there.
func initialise(ctx context.Context, bin string, cfg Config, owner *account) error {
	if _, err := os.Stat(filepath.Join(cfg.Dir, "PG_VERSION")); err == nil {
		return nil
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("pgserver: make the data directory: %w", err)
	}
	if owner != nil {
		if err := os.Chown(cfg.Dir, owner.uid, owner.gid); err != nil {
			return fmt.Errorf("pgserver: give the data directory to the server's user: %w", err)
		}
	}
	// The server listens on loopback only and belongs to whoever runs this program, so it trusts its callers.
	args := []string{"-D", cfg.Dir, "-U", "cellar", "-A", "trust", "-E", "UTF8", "--locale=C"}
	if cfg.Unsafe {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), args...)
	cmd.Dir = cfg.Dir
	cmd.SysProcAttr = childAttributes(owner)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgserver: initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// run starts the process and waits for its end on one operating system thread: on Linux the parent-death signal is
// sent when the thread that started the child ends, not the program.
func (s *Server) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := s.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	s.err = s.cmd.Wait()
	close(s.done)
}

// answersPostgres asks for a session: only a server that is up goes on with authentication. One that still starts, or
// recovers after a crash, talks too (it even negotiates TLS), but to refuse.
func answersPostgres(ctx context.Context, port int) bool {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	if _, err := conn.Write(startupMessage()); err != nil {
		return false
	}
	var answer [1]byte
	n, err := conn.Read(answer[:])
	return err == nil && n == 1 && answer[0] == authenticationRequest
}

// authenticationRequest is the first byte of the answer to a startup message that is not refused.
const authenticationRequest = 'R'

// startupMessage of protocol 3.0 (PostgreSQL, "Message Formats"): its own length, the version, then parameters.
func startupMessage() []byte {
	body := binary.BigEndian.AppendUint32(nil, 3<<16)
	body = append(body, "user\x00cellar\x00database\x00postgres\x00\x00"...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
}

func credential(owner *account) *syscall.Credential {
	if owner == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(owner.uid), Gid: uint32(owner.gid)}
}
