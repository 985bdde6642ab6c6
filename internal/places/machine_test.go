package places

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func machineWith(goos string, env map[string]string, files ...string) Machine {
	return Machine{
		goos:   goos,
		getenv: func(name string) string { return env[name] },
		exists: func(path string) bool {
			for _, file := range files {
				if file == path {
					return true
				}
			}
			return false
		},
		mountinfo: func() string {
			return "22 1 0:20 / / rw - overlay overlay rw\n" +
				"30 22 0:25 / /data rw - ext4 /dev/sda1 rw\n" +
				`31 22 0:26 / /my\040volume rw - ext4 /dev/sdb1 rw` + "\n" +
				"garbage\n"
		},
	}
}

func TestTheDefaultFileLiesInTheUsersStateDirectory(t *testing.T) {
	for name, test := range map[string]struct {
		goos string
		env  map[string]string
		want string
	}{
		"XDG":          {"linux", map[string]string{"XDG_STATE_HOME": "/state", "HOME": "/home/ada"}, "/state/milepost/milepost.db"},
		"relative XDG": {"linux", map[string]string{"XDG_STATE_HOME": "state", "HOME": "/home/ada"}, "/home/ada/.local/state/milepost/milepost.db"},
		"Linux":        {"linux", map[string]string{"HOME": "/home/ada"}, "/home/ada/.local/state/milepost/milepost.db"},
		"macOS":        {"darwin", map[string]string{"HOME": "/Users/ada"}, "/Users/ada/Library/Application Support/milepost/milepost.db"},
		"Windows":      {"windows", map[string]string{"LOCALAPPDATA": "/Local"}, "/Local/milepost/milepost.db"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := machineWith(test.goos, test.env).DefaultFile()
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		_, err := machineWith(goos, nil).DefaultFile()
		assert.ErrorContains(t, err, "name a store with --store or MILEPOST_STORE", goos)
	}
}

func TestServicesWhoseFilesVanishAreKnownByTheirVariables(t *testing.T) {
	for name, want := range map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME":      "AWS Lambda",
		"GLUE_VERSION":                  "AWS Glue",
		"GLUE_PYTHON_VERSION":           "AWS Glue",
		"ECS_CONTAINER_METADATA_URI_V4": "Amazon ECS",
		"ECS_CONTAINER_METADATA_URI":    "Amazon ECS",
		"SHELL":                         "",
	} {
		assert.Equal(t, want, machineWith("linux", map[string]string{name: "x"}).Fleeting(), name)
	}
	for value, want := range map[string]string{
		"AWS_Lambda_go1.x": "AWS Lambda", "AWS_ECS_FARGATE": "Amazon ECS", "AWS_ECS_EC2": "Amazon ECS", "CloudShell": "",
	} {
		assert.Equal(t, want, machineWith("linux", map[string]string{"AWS_EXECUTION_ENV": value}).Fleeting(), value)
	}
}

func TestAContainerWithoutAVolumeIsNoticed(t *testing.T) {
	docker := machineWith("linux", nil, "/.dockerenv")
	assert.True(t, docker.IsContainerWithoutVolume("/home/job/.local/state/milepost/milepost.db"))
	assert.True(t, docker.IsContainerWithoutVolume("/database/milepost.db"), "next to /data, not in it")
	assert.False(t, docker.IsContainerWithoutVolume("/data/milepost.db"))
	assert.False(t, docker.IsContainerWithoutVolume("/my volume/milepost.db"))
	assert.True(t, machineWith("linux", map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}).IsContainerWithoutVolume("/x"))
	assert.False(t, machineWith("linux", nil).IsContainerWithoutVolume("/x"), "not a container")
	assert.False(t, machineWith("darwin", nil, "/.dockerenv").IsContainerWithoutVolume("/x"))
}
