"""JPEG XL. imagecodecs codes the pixels; headers, colour spaces, profiles and boxes are read and written here."""
