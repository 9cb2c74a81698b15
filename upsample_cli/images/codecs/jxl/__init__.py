"""JPEG XL: imagecodecs codes the pixels; headers, colour spaces and the container of boxes are read and written here."""
