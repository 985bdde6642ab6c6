package sqlitestore

import "golang.org/x/sys/windows"

// hardLinks returns how many names the file has.
func hardLinks(path string) (uint64, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	file, err := windows.CreateFile(name, windows.FILE_READ_ATTRIBUTES, share, nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = windows.CloseHandle(file) }()
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(file, &info); err != nil {
		return 0, err
	}
	return uint64(info.NumberOfLinks), nil
}

// everyoneMayWrite reports false: a mode does not say who may write here.
func everyoneMayWrite(string) bool { return false }
