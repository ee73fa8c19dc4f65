package connector

import "testing"

// TestIsPublished: a published password is one wherever it stands in a value.
func TestIsPublished(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		key, value string
		want       bool
	}{
		"alone":                         {"KEY", "changeit", true},
		"in upper case":                 {"KEY_PASSWORD", "CHANGEIT", true},
		"in a URL":                      {"PROXY", "https://bob:passwordBob@proxy/", true},
		"in a database's URL":           {"spring.datasource.url", "jdbc:h2:file:/x;CIPHER=AES;PASSWORD=changeit", true},
		"in JSON":                       {"SPRING_APPLICATION_JSON", `{"server":{"ssl":{"key-password":"changeit"}}}`, true},
		"among options":                 {"JDK_JAVA_OPTIONS", "-Xmx1g -Dtrust=allpassword", true},
		"its second place":              {"KEY", "exchangeit,changeit", true},
		"the file's half alone changed": {"spring.datasource.password", "Zt7qWp0aLk password", true},
		"the user's half alone changed": {"spring.datasource.password", "file_password Zt7qWp0aLk", true},
		"a guess where none is meant":   {"application.title", "password", false},
		"a guess under a short name":    {"KEYSTORE_PASS", "Password", true},
		"part of one's own":             {"KEY_PASSWORD", "changeit-not", false},
		"a longer word":                 {"KEY_PASSWORD", "exchangeit", false},
		"one of many words":             {"KEY_PASSWORD", "no password is as long as mine", false},
		"a file of that name":           {"DB_PASSWORD_FILE", "/run/secrets/file_password", false},
	} {
		if got := isPublished(test.key, test.value); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// TestShownHidesLogins: an address with a login in it is not shown.
func TestShownHidesLogins(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"https://user:hunter2@daps.example.org/token": "a value with a login in it",
		"https://daps.example.org/a@b":                "https://daps.example.org/a@b",
	} {
		if got := shown("application.dapsUrl", value); got != want {
			t.Errorf("%s: %s", value, got)
		}
	}
}
